//! The people and connectors of the demo: certificates, an access list, tokens. All of it lies in the data folder,
//! readable by its owner only.

use std::path::PathBuf;

use anyhow::Context;
use minqiao_connector_api::departments::Department;
use minqiao_core::{Principal, Role};
use minqiao_doors::access::{AccessFile, UserEntry, token_digest};

use super::Made;
use crate::certificates::{Authority, Pair, secret_file, secret_folder};
use crate::config::Config;

/// A user of the demo.
#[derive(Debug, Clone)]
pub struct Person {
    /// As policies see them.
    pub principal: Principal,
    /// Purpose they come with.
    pub purpose: &'static str,
    /// File with the header line `Authorization: Bearer …`, for `curl -H @FILE`.
    pub header_file: PathBuf,
}

/// A connector of the demo.
#[derive(Debug, Clone)]
pub struct Player {
    /// Department code.
    pub department: String,
    /// Provider code, the common name of its certificate.
    pub provider: String,
    /// Its certificate.
    pub pair: Pair,
}

/// Everybody.
#[derive(Debug)]
pub struct Cast {
    /// Signs certificates while the demo runs.
    pub signer: Authority,
    /// The authority's certificate, PEM file.
    pub authority: PathBuf,
    /// Users.
    pub people: Vec<Person>,
    /// One connector per department.
    pub connectors: Vec<Player>,
}

impl Cast {
    /// Makes certificates and tokens and writes the access list.
    pub fn make(config: &Config, made: &Made) -> anyhow::Result<Self> {
        let folder = config.below_data("tls");
        secret_folder(&folder)?;
        let authority = Authority::new("Minqiao demo authority")?;
        let authority_file = folder.join("authority.pem");
        std::fs::write(&authority_file, authority.pem())?;
        authority.write(&folder, "server", "minqiao", true)?;
        let mut file = AccessFile::default();
        let mut connectors = Vec::new();
        for department in Department::embedded_codes() {
            let provider = format!("{department}.{}", made.division);
            let pair = authority.write(&folder.join("connectors"), department, &provider, false)?;
            file.connectors.push(provider.clone());
            connectors.push(Player { department: department.to_owned(), provider, pair });
        }
        let county = made.counties.first().cloned().context("a city has a county")?;
        let people = [
            ("caseworker", Role::Caseworker, Some(county), "dibao_verification"),
            ("analyst", Role::Analyst, None, "analysis"),
            ("statistician", Role::Statistician, None, "statistics"),
            ("operator", Role::Operator, None, "operations"),
            ("auditor", Role::Auditor, None, "audit"),
        ];
        let people = people
            .into_iter()
            .map(|(id, role, county, purpose)| {
                let token = random_token();
                let header_file = folder.join("tokens").join(id);
                secret_folder(&folder.join("tokens"))?;
                secret_file(&header_file, format!("Authorization: Bearer {token}\n").as_bytes())?;
                let department = Some("civil-affairs".to_owned());
                let principal = Principal { id: id.to_owned(), role, department, county };
                file.users.push(UserEntry {
                    id: principal.id.clone(),
                    role,
                    department: principal.department.clone(),
                    county: principal.county.clone(),
                    token_sm3: Some(token_digest(&token)),
                });
                Ok(Person { principal, purpose, header_file })
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        secret_file(&config.access_list(), serde_norway::to_string(&file)?.as_bytes())?;
        Ok(Self { signer: authority, authority: authority_file, people, connectors })
    }
}

/// Three random UUIDs, 366 random bits.
fn random_token() -> String {
    [uuid::Uuid::new_v4(), uuid::Uuid::new_v4(), uuid::Uuid::new_v4()].map(|u| u.simple().to_string()).concat()
}
