//! What a process does, where several share the work of a city.
//!
//! ```toml
//! roles = "gateway"        # any of gateway, writer, query with a comma between; default: all
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Takes batches.
    Gateway,
    /// Brings the bus into the lake and keeps the lake up.
    Writer,
    /// Answers SQL and verifies.
    Query,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Gateway, Self::Writer, Self::Query];

    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Writer => "writer",
            Self::Query => "query",
        }
    }
}

/// Roles of one process; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles(BTreeSet<Role>);

impl Roles {
    /// Everything.
    pub fn all() -> Self {
        Self(Role::ALL.into())
    }

    /// Whether this is one of them.
    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// Whether none is missing.
    pub fn is_all(&self) -> bool {
        self.0.len() == Role::ALL.len()
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(","))
    }
}

impl FromStr for Roles {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let role = |name: &str| {
            let known = Role::ALL.into_iter().find(|role| role.as_str() == name.trim());
            known.ok_or_else(|| format!("`{}` is no role: there are gateway, writer and query", name.trim()))
        };
        Ok(Self(text.split(',').map(role).collect::<Result<_, _>>()?))
    }
}

impl<'de> Deserialize<'de> for Roles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Roles {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_and_written_back() {
        for text in ["gateway", "gateway,writer", "gateway,writer,query"] {
            assert_eq!(text.parse::<Roles>().expect(text).to_string(), text);
        }
        assert_eq!("query, gateway".parse::<Roles>().expect("spaces").to_string(), "gateway,query");
        for text in ["", "gateways", "gateway,", "all"] {
            assert!(text.parse::<Roles>().is_err(), "{text}");
        }
    }
}
