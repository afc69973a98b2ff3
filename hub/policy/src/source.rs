//! Where the policies come from: the set built into the binary, or a directory that replaces it wholly.
//!
//! A directory is not merged with the built-in set: what is in force is what one can read in one place.

use std::path::Path;

use crate::PolicyError;

/// The texts of a policy set: file name and content.
#[derive(Debug, Clone)]
pub struct PolicySource {
    /// `schema.cedarschema`.
    pub schema: String,
    /// Every `*.cedar`, by name.
    pub policies: Vec<(String, String)>,
    /// `obligations.yaml`.
    pub obligations: String,
    /// `scopes.yaml`.
    pub scopes: String,
}

impl PolicySource {
    /// The set that ships with the hub (`ops/policies`).
    pub fn embedded() -> Self {
        let policies = [
            ("analyst.cedar", include_str!("../../../ops/policies/analyst.cedar")),
            ("caseworker.cedar", include_str!("../../../ops/policies/caseworker.cedar")),
            ("department.cedar", include_str!("../../../ops/policies/department.cedar")),
            ("separation.cedar", include_str!("../../../ops/policies/separation.cedar")),
            ("statistician.cedar", include_str!("../../../ops/policies/statistician.cedar")),
            ("views.cedar", include_str!("../../../ops/policies/views.cedar")),
        ];
        Self {
            schema: include_str!("../../../ops/policies/schema.cedarschema").to_owned(),
            policies: policies.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect(),
            obligations: include_str!("../../../ops/policies/obligations.yaml").to_owned(),
            scopes: include_str!("../../../ops/policies/scopes.yaml").to_owned(),
        }
    }

    /// A set from a directory with the same file names; every `*.cedar` in it counts.
    pub fn from_dir(dir: &Path) -> Result<Self, PolicyError> {
        let read = |name: &str| {
            std::fs::read_to_string(dir.join(name))
                .map_err(|source| PolicyError::Read { file: name.to_owned(), source })
        };
        let listing = |source| PolicyError::Read { file: dir.display().to_string(), source };
        let mut policies = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(listing)? {
            let name = entry.map_err(listing)?.file_name().to_string_lossy().into_owned();
            if name.ends_with(".cedar") {
                let text = read(&name)?;
                policies.push((name, text));
            }
        }
        policies.sort();
        Ok(Self {
            schema: read("schema.cedarschema")?,
            policies,
            obligations: read("obligations.yaml")?,
            scopes: read("scopes.yaml")?,
        })
    }

    /// Version of the texts: SM3 over names and contents, first 16 hex digits.
    pub fn version(&self) -> String {
        use sm3::Digest;
        let mut hash = sm3::Sm3::new();
        let named = [("schema", &self.schema), ("obligations", &self.obligations), ("scopes", &self.scopes)];
        let all = named.into_iter().chain(self.policies.iter().map(|(name, text)| (name.as_str(), text)));
        for (name, text) in all {
            hash.update(name.as_bytes());
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}
