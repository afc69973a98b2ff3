//! The schema, embedded: the same files for every engine.
//!
//! The files keep to what SQLite and PostgreSQL both understand (`BIGINT`, `TEXT`, `BYTEA`, no generated keys). One thing
//! is said differently: text sorts byte by byte in SQLite, and in PostgreSQL by the rules of the language that the
//! database was made with. There each `TEXT` column is given the collation `"C"`, so that lists and pages come in the
//! same order on both and no database has to be made in a special way.
//!
//! They are listed by hand rather than by a macro: the macro would compile both engines once more for the build machine.
//! A test compares the list with the folder.

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr as _};

/// Version, description and statements, as in the folder `migrations`. Never changed once released, only added to.
const FILES: &[(i64, &str, &str)] = &[
    (1, "initial", include_str!("../migrations/0001_initial.sql")),
    (2, "hubs", include_str!("../migrations/0002_hubs.sql")),
    (3, "feeds", include_str!("../migrations/0003_feeds.sql")),
];

/// For SQLite.
pub(crate) fn sqlite() -> Migrator {
    migrator(str::to_owned)
}

/// For PostgreSQL.
pub(crate) fn postgres() -> Migrator {
    migrator(with_byte_order)
}

fn migrator(adapt: impl Fn(&str) -> String) -> Migrator {
    let migration = |(version, description, sql): &(i64, &'static str, &str)| {
        let sql = AssertSqlSafe(adapt(sql)).into_sql_str();
        Migration::new(*version, (*description).into(), MigrationType::Simple, sql, false)
    };
    Migrator::with_migrations(FILES.iter().map(migration).collect())
}

/// Gives every `TEXT` the collation that compares bytes.
fn with_byte_order(sql: &str) -> String {
    let code = |line: &str| match line.split_once("--") {
        Some((code, comment)) => format!("{}--{comment}", code.replace("TEXT", "TEXT COLLATE \"C\"")),
        None => line.replace("TEXT", "TEXT COLLATE \"C\""),
    };
    sql.lines().map(code).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_listed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .expect("the folder")
            .map(|file| file.expect("a file").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        let listed: Vec<String> =
            FILES.iter().map(|(version, description, _)| format!("{version:04}_{description}.sql")).collect();
        assert_eq!(names, listed);
    }

    #[test]
    fn text_gets_the_order_of_bytes_and_comments_stay() {
        let sql = "-- TEXT of\n a TEXT NOT NULL, -- TEXT\n b TEXT,\n c BIGINT";
        let expected = "-- TEXT of\n a TEXT COLLATE \"C\" NOT NULL, -- TEXT\n b TEXT COLLATE \"C\",\n c BIGINT";
        assert_eq!(with_byte_order(sql), expected);
    }
}
