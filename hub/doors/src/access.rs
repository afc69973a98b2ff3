//! Who may come in: the access list of users and connectors.
//!
//! A YAML file owned by the operator. A user is recognised by the common name of a client certificate or by a bearer
//! token, of which only the SM3 digest is kept here (tokens are 256 random bits, so a plain digest cannot be guessed).
//! A connector is recognised by its certificate alone: the common name is its provider code.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use minqiao_core::{Kind, KindOf, Principal, ProviderCode, Role};
use serde::{Deserialize, Serialize};
use sm3::{Digest, Sm3};

/// One user of the access list.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserEntry {
    /// Account name, also the common name of the user's certificate.
    pub id: String,
    /// What the user may do.
    pub role: Role,
    /// Department code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub department: Option<String>,
    /// Six-digit county that the user is confined to; absent = the whole city.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub county: Option<String>,
    /// SM3 of the bearer token, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_sm3: Option<String>,
}

/// The file as written.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessFile {
    /// Users, each id once.
    pub users: Vec<UserEntry>,
    /// Provider codes of connectors.
    pub connectors: Vec<String>,
}

/// Why an access list was refused; names every mistake.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The file cannot be read.
    #[error("cannot read the access list `{0}`")]
    Read(PathBuf, #[source] std::io::Error),
    /// It is not YAML of the expected form.
    #[error("the access list `{0}` is not of the expected form")]
    Form(PathBuf, #[source] serde_norway::Error),
    /// It contradicts itself.
    #[error("the access list has mistakes: {}", .0.join("; "))]
    Content(Vec<String>),
}

impl KindOf for AccessError {
    fn kind(&self) -> Kind {
        Kind::FailedPrecondition
    }
    fn code(&self) -> &'static str {
        "access_list"
    }
}

/// The access list, ready to answer.
#[derive(Debug, Clone, Default)]
pub struct AccessList {
    by_id: HashMap<String, Arc<Principal>>,
    by_token: HashMap<String, Arc<Principal>>,
    connectors: HashSet<ProviderCode>,
}

/// A department as the reader of feeds that its connector is: the provider code names department and county. Everywhere
/// else a connector publishes and reads nothing.
pub fn reader_of(code: &ProviderCode) -> Principal {
    Principal {
        id: code.to_string(),
        role: Role::Department,
        department: Some(code.department().to_owned()),
        county: minqiao_intake::admission::county_of(code).map(str::to_owned),
    }
}

/// SM3 of a bearer token, hex, as kept in the access list.
pub fn token_digest(token: &str) -> String {
    hex::encode(Sm3::digest(token.as_bytes()))
}

impl AccessList {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, AccessError> {
        let text = std::fs::read_to_string(path).map_err(|e| AccessError::Read(path.to_owned(), e))?;
        let file: AccessFile = serde_norway::from_str(&text).map_err(|e| AccessError::Form(path.to_owned(), e))?;
        Self::resolve(file)
    }

    /// Checks what was written; every mistake is reported.
    pub fn resolve(file: AccessFile) -> Result<Self, AccessError> {
        let mut list = Self::default();
        let mut mistakes = Vec::new();
        for user in file.users {
            let well_formed = !user.id.is_empty()
                && user.id.len() <= 64
                && user.id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b));
            if !well_formed {
                mistakes.push(format!("user `{}`: an id is 1 to 64 characters of `A-Z a-z 0-9 . _ - @`", user.id));
            }
            if user.role == Role::Connector {
                mistakes.push(format!("user `{}`: connectors are listed under `connectors`", user.id));
            }
            let is_department = |code: &str| {
                !code.is_empty() && code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            };
            if user.role == Role::Department && !user.department.as_deref().is_some_and(is_department) {
                mistakes.push(format!(
                    "user `{}`: the role `department` needs `department`, a code such as `education`",
                    user.id
                ));
            }
            if user.county.as_deref().is_some_and(|c| c.len() != 6 || !c.bytes().all(|b| b.is_ascii_digit())) {
                mistakes.push(format!("user `{}`: `county` has six digits", user.id));
            }
            let principal = Arc::new(Principal {
                id: user.id.clone(),
                role: user.role,
                department: user.department,
                county: user.county,
            });
            if let Some(digest) = user.token_sm3 {
                let digest = digest.to_ascii_lowercase();
                if digest.len() != 64 || !digest.bytes().all(|b| b.is_ascii_hexdigit()) {
                    mistakes.push(format!("user `{}`: `token_sm3` has 64 hexadecimal digits", user.id));
                }
                if list.by_token.insert(digest, principal.clone()).is_some() {
                    mistakes.push(format!("user `{}`: another user has the same token", user.id));
                }
            }
            if list.by_id.insert(user.id.clone(), principal).is_some() {
                mistakes.push(format!("user `{}` is listed twice", user.id));
            }
        }
        for code in file.connectors {
            match ProviderCode::new(code) {
                Ok(code) => {
                    if list.by_id.contains_key(code.as_str()) {
                        mistakes.push(format!("`{code}` is both a user and a connector"));
                    }
                    list.connectors.insert(code);
                }
                Err(error) => mistakes.push(error.to_string()),
            }
        }
        if mistakes.is_empty() { Ok(list) } else { Err(AccessError::Content(mistakes)) }
    }

    /// The user with this account name.
    pub fn user(&self, id: &str) -> Option<Arc<Principal>> {
        self.by_id.get(id).cloned()
    }

    /// The user who holds this bearer token.
    pub fn user_of_token(&self, token: &str) -> Option<Arc<Principal>> {
        self.by_token.get(&token_digest(token)).cloned()
    }

    /// The connector with this provider code.
    pub fn connector(&self, name: &str) -> Option<ProviderCode> {
        ProviderCode::new(name).ok().filter(|code| self.connectors.contains(code))
    }

    /// Every user, by id.
    pub fn users(&self) -> Vec<Arc<Principal>> {
        let mut users: Vec<_> = self.by_id.values().cloned().collect();
        users.sort_by(|a, b| a.id.cmp(&b.id));
        users
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_certificate_name_or_token_and_every_mistake_is_named() {
        let yaml = format!(
            "users:\n  - {{id: li, role: analyst, token_sm3: {}}}\nconnectors: [civil-affairs.3710]\n",
            token_digest("secret")
        );
        let list = AccessList::resolve(serde_norway::from_str(&yaml).expect("yaml")).expect("valid");
        assert_eq!(list.user("li").expect("known").role, Role::Analyst);
        assert_eq!(list.user_of_token("secret").expect("known").id, "li");
        assert!(list.user_of_token("Secret").is_none());
        assert!(list.connector("civil-affairs.3710").is_some());
        assert!(list.connector("li").is_none());

        let bad = "users:\n  - {id: 'a b', role: connector, county: 37}\nconnectors: ['']\n";
        let bad = serde_norway::from_str::<AccessFile>(&bad.replace("37}", "'37'}")).expect("yaml");
        let AccessError::Content(mistakes) = AccessList::resolve(bad).expect_err("refused") else { panic!() };
        assert_eq!(mistakes.len(), 4, "{mistakes:?}");
    }
}
