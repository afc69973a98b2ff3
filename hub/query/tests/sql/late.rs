//! Pseudonyms that nobody reads are not made; answers are the same as if they were.

use minqiao_core::KindOf;

use crate::fixture::{City, Hidden};

/// A statement whose pseudonyms are only compared and counted, and one that says the same of their texts.
const SAME: [(&str, &str); 11] = [
    (
        "SELECT count(DISTINCT citizen_id) FROM temporary_assistance",
        "SELECT count(DISTINCT lower(citizen_id)) FROM temporary_assistance",
    ),
    (
        "SELECT count(DISTINCT citizen_id), count(DISTINCT case_no) FROM temporary_assistance",
        "SELECT count(DISTINCT lower(citizen_id)), count(DISTINCT case_no) FROM temporary_assistance",
    ),
    (
        "SELECT count(*) FROM temporary_assistance t JOIN resident_identity r ON t.citizen_id = r.citizen_id",
        "SELECT count(*) FROM temporary_assistance t JOIN resident_identity r ON lower(t.citizen_id) = lower(r.citizen_id)",
    ),
    (
        "SELECT count(*), count(t.citizen_id) FROM resident_identity r LEFT JOIN temporary_assistance t ON t.citizen_id = r.citizen_id WHERE t.citizen_id IS NULL",
        "SELECT count(*), count(t.citizen_id) FROM resident_identity r LEFT JOIN temporary_assistance t ON lower(t.citizen_id) = lower(r.citizen_id) WHERE t.citizen_id IS NULL",
    ),
    (
        "SELECT count(*) FROM resident_identity WHERE citizen_id IN (SELECT citizen_id FROM temporary_assistance)",
        "SELECT count(*) FROM resident_identity WHERE lower(citizen_id) IN (SELECT lower(citizen_id) FROM temporary_assistance)",
    ),
    (
        "SELECT count(*) FROM resident_identity r WHERE NOT EXISTS (SELECT 1 FROM temporary_assistance t WHERE t.citizen_id = r.citizen_id)",
        "SELECT count(*) FROM resident_identity r WHERE NOT EXISTS (SELECT 1 FROM temporary_assistance t WHERE lower(t.citizen_id) = lower(r.citizen_id))",
    ),
    (
        "SELECT n, count(*) FROM (SELECT citizen_id, count(*) AS n FROM temporary_assistance GROUP BY 1) x GROUP BY 1 ORDER BY 1",
        "SELECT n, count(*) FROM (SELECT lower(citizen_id) AS c, count(*) AS n FROM temporary_assistance GROUP BY 1) x GROUP BY 1 ORDER BY 1",
    ),
    (
        "SELECT hukou_division_code, count(DISTINCT r.citizen_id) FROM resident_identity r JOIN (SELECT DISTINCT citizen_id FROM temporary_assistance) t ON r.citizen_id = t.citizen_id GROUP BY 1 ORDER BY 1",
        "SELECT hukou_division_code, count(DISTINCT lower(r.citizen_id)) FROM resident_identity r JOIN (SELECT DISTINCT lower(citizen_id) AS c FROM temporary_assistance) t ON lower(r.citizen_id) = t.c GROUP BY 1 ORDER BY 1",
    ),
    (
        "SELECT count(*) FROM temporary_assistance a, temporary_assistance b WHERE a.citizen_id <> b.citizen_id",
        "SELECT count(*) FROM temporary_assistance a, temporary_assistance b WHERE lower(a.citizen_id) <> lower(b.citizen_id)",
    ),
    (
        "SELECT count(DISTINCT citizen_id) FROM (SELECT citizen_id FROM temporary_assistance UNION ALL SELECT citizen_id FROM resident_identity) u",
        "SELECT count(DISTINCT lower(citizen_id)) FROM (SELECT citizen_id FROM temporary_assistance UNION ALL SELECT citizen_id FROM resident_identity) u",
    ),
    (
        "SELECT count(*) FROM temporary_assistance t FULL JOIN resident_identity r ON t.citizen_id = r.citizen_id",
        "SELECT count(*) FROM temporary_assistance t FULL JOIN resident_identity r ON lower(t.citizen_id) = lower(r.citizen_id)",
    ),
];

/// Statements that let the user see what they compare.
const SEEN: [&str; 12] = [
    "SELECT t.citizen_id FROM temporary_assistance t JOIN resident_identity r ON t.citizen_id = r.citizen_id",
    "SELECT citizen_id FROM temporary_assistance GROUP BY 1 HAVING count(*) > 0",
    "SELECT DISTINCT citizen_id FROM temporary_assistance",
    "SELECT max(citizen_id) FROM temporary_assistance GROUP BY case_no",
    "SELECT r.citizen_id FROM resident_identity r WHERE r.citizen_id IN (SELECT citizen_id FROM temporary_assistance)",
    "SELECT x.c FROM (SELECT citizen_id AS c, count(*) AS n FROM temporary_assistance GROUP BY 1) x JOIN resident_identity r ON x.c = r.citizen_id",
    "SELECT coalesce(t.citizen_id, r.citizen_id) FROM temporary_assistance t FULL JOIN resident_identity r ON t.citizen_id = r.citizen_id",
    "SELECT citizen_id FROM temporary_assistance UNION SELECT citizen_id FROM resident_identity",
    "SELECT citizen_id FROM temporary_assistance ORDER BY citizen_id LIMIT 3",
    "SELECT first_value(citizen_id) OVER (ORDER BY case_no) FROM temporary_assistance",
    "SELECT CASE WHEN t.citizen_id = r.citizen_id THEN t.citizen_id END FROM temporary_assistance t JOIN resident_identity r ON t.citizen_id = r.citizen_id",
    "SELECT CAST(t.citizen_id AS TEXT) FROM temporary_assistance t JOIN resident_identity r ON t.citizen_id = r.citizen_id",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comparing_tokens_answers_as_comparing_pseudonyms() {
    let city = City::small(Hidden::Canaries).await;
    for who in ["analyst", "analyst monitoring"] {
        for (late, made) in SAME {
            let answer = city.ask(who, late).await.unwrap_or_else(|e| panic!("{late}: {e}"));
            assert_eq!(answer, city.ask(who, made).await.unwrap_or_else(|e| panic!("{made}: {e}")), "{late}");
            assert!(!answer.is_empty(), "{late}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_seen_is_a_pseudonym() {
    let city = City::small(Hidden::Canaries).await;
    let known: Vec<String> = city
        .ask("analyst", "SELECT citizen_id FROM resident_identity")
        .await
        .expect("rows")
        .into_iter()
        .map(|mut row| row.remove(0))
        .collect();
    assert!(known.iter().all(|name| name.len() == 16));
    for sql in SEEN {
        let rows = city.ask("analyst", sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert!(!rows.is_empty() && rows.iter().all(|row| known.contains(&row[0])), "{sql}: {rows:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_type_of_a_pseudonym_is_text() {
    let city = City::small(Hidden::None).await;
    let sql = "SELECT arrow_typeof(citizen_id) FROM temporary_assistance";
    // The function is not on the list; were it, the column would say what it is to the user.
    assert_eq!(city.ask("analyst", sql).await.expect_err("no such function").code(), "sql_not_found");
}
