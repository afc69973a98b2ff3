//! Both engines have the same tables, columns, kinds, nullability and keys.

use std::collections::BTreeSet;

use sqlx::{Connection as _, PgConnection, Row as _, SqliteConnection};

use crate::place::Place;

/// Table, column, type, whether NULL is refused, place in the primary key from 1 or 0.
type Column = (String, String, String, bool, i64);

#[tokio::test]
async fn both_engines_have_the_same_tables() {
    let Some(postgres) = Place::postgres().await else { return };
    let sqlite = Place::sqlite();
    postgres.open().await.close().await;
    sqlite.open().await.close().await;
    let (ours, theirs) = (of_sqlite(&sqlite).await, of_postgres(&postgres).await);
    assert!(ours.len() > 50, "only {} columns", ours.len());
    assert_eq!(ours, theirs);
    assert_eq!(indexes_of_sqlite(&sqlite).await, indexes_of_postgres(&postgres).await);
}

#[tokio::test]
async fn every_text_sorts_by_its_bytes() {
    let Some(place) = Place::postgres().await else { return };
    place.open().await.close().await;
    let other: Vec<String> = sqlx::query_scalar(
        "SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = current_schema() \
         AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C' AND table_name NOT LIKE '\\_%'",
    )
    .fetch_all(&mut PgConnection::connect(&place.name()).await.expect("connected"))
    .await
    .expect("read");
    assert!(other.is_empty(), "{other:?}");
}

async fn of_sqlite(place: &Place) -> BTreeSet<Column> {
    let rows = sqlx::query(
        "SELECT m.name AS tab, c.name AS col, lower(c.type) AS kind, c.\"notnull\" AS required, c.pk AS key \
         FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE '\\_%' ESCAPE '\\'",
    )
    .fetch_all(&mut SqliteConnection::connect(&place.name()).await.expect("opened"))
    .await
    .expect("read");
    rows.iter()
        .map(|row| {
            (row.get("tab"), row.get("col"), row.get("kind"), row.get::<i64, _>("required") == 1, row.get("key"))
        })
        .collect()
}

async fn of_postgres(place: &Place) -> BTreeSet<Column> {
    let rows = sqlx::query(
        "SELECT c.relname::text AS tab, a.attname::text AS col, format_type(a.atttypid, NULL) AS kind, \
         a.attnotnull AS required, COALESCE(array_position(i.indkey::int2[], a.attnum), -1)::bigint AS key \
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 \
         LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary \
         WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace AND c.relname NOT LIKE '\\_%'",
    )
    .fetch_all(&mut PgConnection::connect(&place.name()).await.expect("connected"))
    .await
    .expect("read");
    // `indkey` counts from 0.
    rows.iter()
        .map(|row| (row.get("tab"), row.get("col"), row.get("kind"), row.get("required"), row.get::<i64, _>("key") + 1))
        .collect()
}

/// Names of the indexes that the schema makes itself, with their tables.
async fn indexes_of_sqlite(place: &Place) -> Vec<(String, String)> {
    sqlx::query_as("SELECT tbl_name, name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY 1, 2")
        .fetch_all(&mut SqliteConnection::connect(&place.name()).await.expect("opened"))
        .await
        .expect("read")
}

async fn indexes_of_postgres(place: &Place) -> Vec<(String, String)> {
    sqlx::query_as(
        "SELECT tablename::text, indexname::text FROM pg_indexes WHERE schemaname = current_schema() \
         AND indexname NOT LIKE '%\\_pkey' ORDER BY tablename::text COLLATE \"C\", indexname::text COLLATE \"C\"",
    )
    .fetch_all(&mut PgConnection::connect(&place.name()).await.expect("connected"))
    .await
    .expect("read")
}
