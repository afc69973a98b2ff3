//! The statement as the audit chain keeps it: nothing in it but words that are nobody's.
//!
//! A literal is not the only place for a citizen number: double quotes make it a column that does not exist, `AS` makes
//! it an alias, and a refused statement is on record all the same. So the text is read word by word and a word stays
//! only if it is known: a keyword, a table or column of the catalogue or of the hub, a function of the engine, or an
//! alias that the statement itself introduces, made of ASCII letters, `_` and at most five digits. Every other name becomes
//! `_`, every literal `?`.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::execution::SessionStateDefaults;
use datafusion::sql::sqlparser::ast::{
    Ident, Query, Select, SelectItem, TableAlias, TableFactor, Value, ValueWithSpan, Visit, VisitMut, Visitor,
    VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use minqiao_schemas::Item;

use crate::catalog::{CATALOG, INFORMATION, INFORMATION_COLUMNS, INFORMATION_TABLES, PUBLIC};
use crate::secure_table::REFERENCE_SUFFIX;
use crate::system::SystemTable;

/// Digits that an alias may have; a citizen number cut off after its division has six.
const ALIAS_DIGITS_MAX: usize = 5;

/// Names that exist, whoever asks, in lower case.
#[derive(Debug, Default)]
pub struct Names(HashSet<String>);

impl Names {
    /// Of the items, the hub's own tables, the description of both, and the engine's functions.
    pub(crate) fn of<'a>(items: impl Iterator<Item = &'a Item>, system: &[SystemTable]) -> Self {
        let mut known: HashSet<String> = [CATALOG, PUBLIC, INFORMATION].map(str::to_owned).into();
        known.extend(INFORMATION_TABLES.iter().chain(INFORMATION_COLUMNS).map(|name| (*name).to_owned()));
        for item in items {
            known.insert(item.code.clone());
            known.extend(item.fields.iter().map(|field| field.name.clone()));
            known.extend(item.fields.iter().map(|field| format!("{}{REFERENCE_SUFFIX}", field.name)));
            known.extend(item.sealed_schema().fields().iter().map(|field| field.name().clone()));
        }
        for table in system {
            known.insert(table.name.clone());
            known.extend(table.provider.schema().fields().iter().map(|field| field.name().clone()));
        }
        for function in SessionStateDefaults::default_scalar_functions() {
            known.insert(function.name().to_owned());
            known.extend(function.aliases().iter().cloned());
        }
        for function in SessionStateDefaults::default_aggregate_functions() {
            known.insert(function.name().to_owned());
            known.extend(function.aliases().iter().cloned());
        }
        for function in SessionStateDefaults::default_window_functions() {
            known.insert(function.name().to_owned());
            known.extend(function.aliases().iter().cloned());
        }
        Self(known.into_iter().map(|name| name.to_lowercase()).collect())
    }

    /// The statement without literals and unknown names; empty if it cannot be read again.
    pub(crate) fn audit_text(&self, query: &Query) -> String {
        let mut aliases = Aliases::default();
        let _never_stops: ControlFlow<()> = query.visit(&mut aliases);
        let mut copy = query.clone();
        let _never_stops: ControlFlow<()> = VisitMut::visit(&mut copy, &mut WithoutLiterals);
        let Ok(tokens) = Tokenizer::new(&GenericDialect {}, &copy.to_string()).tokenize() else {
            return String::new();
        };
        tokens.iter().map(|token| self.word(token, &aliases.0)).collect()
    }

    fn word(&self, token: &Token, aliases: &HashSet<String>) -> String {
        match token {
            Token::Word(word) => {
                let name = word.value.to_lowercase();
                let keyword = word.quote_style.is_none() && word.keyword != Keyword::NoKeyword;
                if keyword || self.0.contains(&name) || aliases.contains(&name) {
                    token.to_string()
                } else {
                    "_".into()
                }
            }
            Token::Whitespace(_) => " ".into(),
            other => {
                let sign = other.to_string();
                if sign.chars().all(|c| c.is_ascii_punctuation()) { sign } else { "?".into() }
            }
        }
    }
}

/// Names that the statement introduces and that may stay.
#[derive(Debug, Default)]
struct Aliases(HashSet<String>);

impl Aliases {
    fn add(&mut self, alias: &Ident) {
        let plain = alias.value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let digits = alias.value.chars().filter(char::is_ascii_digit).count();
        if plain && digits <= ALIAS_DIGITS_MAX {
            self.0.insert(alias.value.to_lowercase());
        }
    }

    fn add_table(&mut self, alias: &TableAlias) {
        self.add(&alias.name);
        for column in &alias.columns {
            self.add(&column.name);
        }
    }
}

impl Visitor for Aliases {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for table in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.add_table(&table.alias);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        for item in &select.projection {
            if let SelectItem::ExprWithAlias { alias, .. } = item {
                self.add(alias);
            }
        }
        for window in &select.named_window {
            self.add(&window.0);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::NestedJoin { alias: Some(alias), .. } = factor
        {
            self.add_table(alias);
        }
        ControlFlow::Continue(())
    }
}

struct WithoutLiterals;

impl VisitorMut for WithoutLiterals {
    type Break = ();

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
        value.value = Value::Placeholder("?".into());
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use minqiao_schemas::Catalogue;

    use super::*;
    use crate::limits::Limits;
    use crate::statement::parse;

    fn text(sql: &str) -> String {
        let names = Names::of(Catalogue::embedded().items().iter(), &[]);
        parse(sql, &Limits::default(), &names).expect("a query").normalised
    }

    #[test]
    fn the_audit_text_has_no_literal() {
        let kept = text(
            "SELECT full_name, 'x' || '371002' FROM bank_deposit WHERE citizen_id = '37100219900101123X' AND amount IN (1, 2) \
             AND birth_date > DATE '2020-01-01' AND full_name LIKE '张%' LIMIT 5",
        );
        for secret in ["371002", "2020", "张", "'x'", "5"] {
            assert!(!kept.contains(secret), "{kept}");
        }
        assert!(kept.contains("citizen_id = ?"), "{kept}");
    }

    #[test]
    fn what_is_known_stays() {
        for sql in [
            "SELECT d.full_name, count(DISTINCT citizen_id_ref) AS people_2 FROM disability_certificate AS d GROUP BY 1 \
             ORDER BY people_2",
            "WITH t (n) AS (SELECT left(full_name, 1) FROM resident_identity) SELECT rank() OVER w FROM t \
             WINDOW w AS (ORDER BY n DESC NULLS LAST)",
            "SELECT table_name, label_zh FROM minqiao.information_schema.columns WHERE shown IS NOT NULL",
        ] {
            let mut kept = text(sql);
            kept.retain(|c| c != '?' && !c.is_whitespace());
            let mut whole = sql.to_owned();
            whole.retain(|c| c != '1' && !c.is_whitespace());
            assert_eq!(kept, whole);
        }
    }

    #[test]
    fn a_number_or_a_name_has_no_place_to_hide() {
        let secrets = ["371002199001011", "张三", "zhangsan", "371002"];
        for sql in [
            "SELECT 1 FROM assistance_application WHERE applicant_citizen_id = \"371002199001011\"",
            "SELECT full_name AS \"371002199001011\" FROM resident_identity",
            "SELECT full_name \"张三\" FROM resident_identity AS n371002",
            "SELECT full_name FROM resident_identity WHERE full_name = zhangsan OR full_name = \"zhangsan\"",
            "SELECT x.\"张三\" FROM \"371002199001011\" AS x",
            "SELECT zhangsan(full_name), 张三.* FROM resident_identity AS 张三",
            "WITH \"张三\" AS (SELECT 1) SELECT * FROM \"张三\" t (\"371002199001011\")",
            "SELECT sum(1) OVER \"张三\" FROM resident_identity WINDOW \"张三\" AS (ORDER BY full_name)",
            "SELECT * FROM resident_identity JOIN bank_deposit USING (\"371002199001011\")",
            "SELECT /* 371002199001011 */ 1 -- 张三",
            "SELECT $371002199001011, N'张三', X'371002', E'张三', U&'zhangsan', 371002e1, 371002199001011L",
            "SELECT CAST(full_name AS zhangsan) COLLATE \"张三\" FROM resident_identity",
            "SELECT * EXCLUDE (zhangsan) FROM resident_identity",
            "SELECT INTERVAL '371002' DAY, DATE '371002', full_name[371002], full_name -> 'zhangsan'",
            "SELECT 1 ORDER BY \"371002199001011\" LIMIT 371002",
        ] {
            let names = Names::of(Catalogue::embedded().items().iter(), &[]);
            // What the parser does not read is kept nowhere.
            let Ok(parsed) = parse(sql, &Limits::default(), &names) else { continue };
            for secret in secrets {
                assert!(!parsed.normalised.contains(secret), "{sql}: {}", parsed.normalised);
            }
        }
        let sql = "SELECT full_name AS \"371002199001011\" FROM bank_deposit WHERE citizen_id = \"371002199001011\"";
        assert_eq!(text(sql), "SELECT full_name AS _ FROM bank_deposit WHERE citizen_id = _");
    }
}
