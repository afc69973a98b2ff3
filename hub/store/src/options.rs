//! How to open a [`Store`](crate::Store): which engine, where, with which bounds.
//!
//! The URL of a PostgreSQL database holds a password. It is parsed here and kept inside [`PostgresOptions`], whose
//! `Debug` and whose errors tell the server, the database and the user, never the URL.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::StoreError;

/// How to open a store.
#[derive(Debug, Clone)]
pub enum StoreOptions {
    /// A file of this process: one machine.
    Sqlite(SqliteOptions),
    /// A server that several hubs share.
    Postgres(PostgresOptions),
}

impl StoreOptions {
    /// SQLite in this file, with four readers.
    pub fn at(path: impl AsRef<Path>) -> Self {
        Self::Sqlite(SqliteOptions { path: path.as_ref().to_owned(), readers: 4 })
    }

    /// PostgreSQL at this URL, with the bounds of [`PostgresOptions::parse`].
    pub fn postgres(url: &str) -> Result<Self, StoreError> {
        Ok(Self::Postgres(PostgresOptions::parse(url)?))
    }
}

impl From<PostgresOptions> for StoreOptions {
    fn from(options: PostgresOptions) -> Self {
        Self::Postgres(options)
    }
}

/// A SQLite database.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// Database file; made when missing, with its directory.
    pub path: PathBuf,
    /// Connections for reading.
    pub readers: u32,
}

/// Whether the way to PostgreSQL is encrypted, and whom the hub believes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PostgresTls {
    /// What the URL says with `sslmode`; without it, nothing on this machine and [`Self::VerifyFull`] elsewhere.
    #[default]
    Auto,
    /// Never encrypted.
    Off,
    /// Encrypted; the server's certificate must come from a known authority and name the host. `sslrootcert` in the URL
    /// adds an authority.
    VerifyFull,
}

/// A PostgreSQL database.
#[derive(Clone)]
pub struct PostgresOptions {
    connect: Box<PgConnectOptions>,
    has_sslmode: bool,
    /// Connections of this process at most.
    pub connections_max: u32,
    /// Time until the server must have answered when the store is opened.
    pub open_timeout: Duration,
    /// Time to wait for a free connection, or for a server that starts again.
    pub acquire_timeout: Duration,
    /// Time of one statement.
    pub statement_timeout: Duration,
    /// Time to wait for a lock of another hub; also the longest time that a hub which has stopped in the middle of a
    /// transaction holds up the others.
    pub lock_timeout: Duration,
    /// Encryption.
    pub tls: PostgresTls,
}

/// Parameters that a URL may carry. Others would be passed over in silence by the driver, or written to the log.
const PARAMETERS: &[&str] =
    &["sslmode", "sslrootcert", "sslcert", "sslkey", "host", "port", "dbname", "user", "password", "application_name"];

impl PostgresOptions {
    /// Reads `postgres://USER:PASSWORD@HOST:PORT/DATABASE`. A database that several programs share is given a schema
    /// with `?options[search_path]=SCHEMA`. The bounds are ten connections and ten seconds for everything but a
    /// statement, which gets thirty.
    pub fn parse(url: &str) -> Result<Self, StoreError> {
        let url = url.trim();
        let wrong = |what: &str| StoreError::Url { what: what.to_owned() };
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err(wrong("it does not begin with `postgres://`"));
        }
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let names: Vec<&str> = query.split('&').filter_map(|pair| pair.split('=').next()).collect();
        let known =
            |name: &str| name.is_empty() || PARAMETERS.contains(&name) || name.to_lowercase().starts_with("options");
        if !names.iter().all(|name| known(name)) {
            return Err(wrong(&format!("it has a parameter that is not one of {}, options", PARAMETERS.join(", "))));
        }
        // The driver's error may quote what it was given.
        let connect = PgConnectOptions::from_str(url)
            .map_err(|_| wrong("its parts cannot be told apart; `@ : / ? # %` in a password are written as `%40`…"))?;
        if connect.get_database().is_none_or(str::is_empty) {
            return Err(wrong("it names no database"));
        }
        Ok(Self {
            connect: Box::new(connect.application_name("minqiao")),
            has_sslmode: names.contains(&"sslmode"),
            connections_max: 10,
            open_timeout: Duration::from_secs(10),
            acquire_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(10),
            tls: PostgresTls::Auto,
        })
    }

    /// Server and database, for people: `host:port/database`.
    pub fn server(&self) -> String {
        let database = self.connect.get_database().unwrap_or_default();
        match self.connect.get_socket() {
            Some(socket) => format!("{}/{database}", socket.display()),
            None => format!("{}:{}/{database}", self.connect.get_host(), self.connect.get_port()),
        }
    }

    /// Whom the hub is at the server.
    pub fn user(&self) -> &str {
        self.connect.get_username()
    }

    /// For the driver, with the encryption decided.
    pub(crate) fn connect(&self) -> PgConnectOptions {
        let connect = PgConnectOptions::clone(&self.connect);
        match self.tls {
            PostgresTls::Off => connect.ssl_mode(PgSslMode::Disable),
            PostgresTls::VerifyFull => connect.ssl_mode(PgSslMode::VerifyFull),
            PostgresTls::Auto if self.has_sslmode => connect,
            PostgresTls::Auto if self.is_local() => connect.ssl_mode(PgSslMode::Disable),
            PostgresTls::Auto => connect.ssl_mode(PgSslMode::VerifyFull),
        }
    }

    fn is_local(&self) -> bool {
        let host = self.connect.get_host();
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        self.connect.get_socket().is_some()
            || host.eq_ignore_ascii_case("localhost")
            || address.is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("server", &self.server())
            .field("user", &self.user())
            .field("connections_max", &self.connections_max)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_in_no_text() {
        let options = StoreOptions::postgres("postgres://hub:geheim@db.example:5433/minqiao").expect("a URL");
        let text = format!("{options:?}");
        assert!(text.contains("db.example:5433/minqiao") && text.contains("hub"), "{text}");
        assert!(!text.contains("geheim"), "{text}");
        let wrong = [
            "postgres://hub:geheim@db.example:x/minqiao",
            "mysql://hub:geheim@db.example/minqiao",
            "postgres://hub:geheim@db.example/",
            "postgres://hub@db.example/minqiao?passwd=geheim",
            "postgres://hub:geheim@db.example/minqiao?sslmode=geheim",
        ];
        for url in wrong {
            let error = StoreOptions::postgres(url).expect_err("no URL of a database");
            let text = format!("{error} {error:?}");
            assert!(text.contains("postgres://") && !text.contains("geheim"), "{text}");
        }
    }

    #[test]
    fn what_leaves_the_machine_is_encrypted_unless_the_url_says_otherwise() {
        let mode = |url: &str| PostgresOptions::parse(url).expect("a URL").connect().get_ssl_mode();
        let full = |mode| matches!(mode, PgSslMode::VerifyFull);
        assert!(full(mode("postgres://u:p@db.example/m")));
        assert!(full(mode("postgres://u:p@10.0.0.7/m?application_name=x")));
        for local in ["127.0.0.1", "localhost", "[::1]"] {
            assert!(matches!(mode(&format!("postgres://u:p@{local}/m")), PgSslMode::Disable), "{local}");
        }
        assert!(matches!(mode("postgres://u:p@db.example/m?sslmode=require"), PgSslMode::Require));
        let mut options = PostgresOptions::parse("postgres://u:p@127.0.0.1/m?sslmode=disable").expect("a URL");
        options.tls = PostgresTls::VerifyFull;
        assert!(full(options.connect().get_ssl_mode()));
    }
}
