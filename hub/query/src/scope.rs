//! The row scope as a predicate over stored columns: which county, which case, which authorisation, no minors.
//!
//! A scope is either a comparison with a division column or membership of the row's subject token in a set. Sets come
//! from the lake itself (`resident_identity`, `assistance_application`, `declared_household_member`,
//! `verification_authorization`), never unseal anything, and are kept between queries as long as the lake says that
//! their source has not changed. A subject without a token belongs to no set: such rows are hidden, not shown.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use chrono::{Datelike, NaiveDate};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};
use datafusion::prelude::{SessionConfig, SessionContext};
use minqiao_core::Timestamp;
use minqiao_policy::{CountyBy, Reach, RowScope};
use minqiao_schemas::Item;
use parking_lot::Mutex;

use crate::base::BaseTables;
use crate::predicate::stored;

/// Sets kept between queries before all are dropped.
const KEPT_SETS_MAX: usize = 256;
/// Rows of people below this age are rows of minors (catalogue, level rules).
const MINOR_YEARS: i32 = 14;

/// Subject tokens, for one membership test per stored row.
///
/// ```text
/// starts: one entry per bucket = leading bits of the token ─► range in heads/tails (sorted by token)
/// ```
///
/// Tokens are uniform, so a bucket holds about four; and the lake keeps rows sorted by token, so tests of consecutive
/// rows walk through this memory forward. A hash table would miss the cache on every row.
#[derive(Debug)]
struct TokenSet {
    id: u64,
    shift: u32,
    starts: Vec<u32>,
    heads: Vec<u64>,
    tails: Vec<u64>,
}

impl TokenSet {
    fn of(mut tokens: Vec<u128>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        tokens.sort_unstable();
        tokens.dedup();
        let bits = (tokens.len() / 4).max(1).ilog2().clamp(1, 28);
        let shift = 64 - bits;
        let heads: Vec<u64> = tokens.iter().map(|token| (token >> 64) as u64).collect();
        let mut starts = vec![0u32; (1usize << bits) + 1];
        for head in &heads {
            starts[(head >> shift) as usize + 1] += 1;
        }
        for bucket in 1..starts.len() {
            starts[bucket] += starts[bucket - 1];
        }
        let tails = tokens.iter().map(|token| *token as u64).collect();
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), shift, starts, heads, tails }
    }

    fn contains(&self, token: u128) -> bool {
        let (head, tail) = ((token >> 64) as u64, token as u64);
        let bucket = (head >> self.shift) as usize;
        let (from, to) = (self.starts[bucket] as usize, self.starts[bucket + 1] as usize);
        (from..to).any(|at| self.heads[at] == head && self.tails[at] == tail)
    }
}

/// Membership in a [`TokenSet`]. Two are equal when their sets are the same object, so a plan that mixes sets cannot
/// confuse them; the set itself never appears in a plan's text.
#[derive(Debug, Clone)]
struct InScope {
    set: Arc<TokenSet>,
    signature: Signature,
}

impl PartialEq for InScope {
    fn eq(&self, other: &Self) -> bool {
        self.set.id == other.set.id
    }
}

impl Eq for InScope {}

impl Hash for InScope {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.set.id.hash(state);
    }
}

impl ScalarUDFImpl for InScope {
    fn name(&self) -> &'static str {
        "in_scope"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let column = args
            .args
            .into_iter()
            .next()
            .ok_or_else(|| DataFusionError::Internal("in_scope takes one column".into()))?
            .into_array(rows)?;
        let column = as_tokens(&column)?;
        let tokens: &FixedSizeBinaryArray = column.as_fixed_size_binary();
        let member =
            |row: usize| tokens.is_valid(row) && token_at(tokens, row).is_some_and(|token| self.set.contains(token));
        let found = BooleanBuffer::collect_bool(tokens.len(), member);
        Ok(ColumnarValue::Array(Arc::new(BooleanArray::new(found, None))))
    }
}

fn as_tokens(column: &ArrayRef) -> Result<ArrayRef> {
    if column.data_type() == &DataType::FixedSizeBinary(16) {
        Ok(Arc::clone(column))
    } else {
        Ok(cast(column, &DataType::FixedSizeBinary(16))?)
    }
}

fn token_at(tokens: &FixedSizeBinaryArray, row: usize) -> Option<u128> {
    tokens.value(row).try_into().ok().map(u128::from_be_bytes)
}

/// Which people a set holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum People {
    /// Registered in the county.
    Residents(String),
    /// The applicant and the declared members of an application, accepted in the county if one is given.
    Case { case: String, county: Option<String> },
    /// Known to be at least fourteen on the day.
    Adults(NaiveDate),
    /// With a valid authorisation for the item at the moment.
    Authorised { item: String, at: Timestamp },
}

type Kept = HashMap<People, (Vec<Option<u64>>, Arc<TokenSet>)>;

/// Makes row scopes; shared by all sessions.
#[derive(Debug)]
pub(crate) struct Scopes {
    base: Arc<dyn BaseTables>,
    kept: Mutex<Kept>,
}

impl Scopes {
    pub(crate) fn new(base: Arc<dyn BaseTables>) -> Self {
        Self { base, kept: Mutex::new(HashMap::new()) }
    }

    /// The conjuncts that a stored row of `item` must meet; a constant `false` when none can.
    pub(crate) async fn predicates(&self, item: &Item, scope: &RowScope, now: Timestamp) -> Result<Vec<Expr>> {
        let subject = item.subject_field();
        let mut all = Vec::new();
        match &scope.reach {
            Reach::City => {}
            Reach::Nothing => return Ok(vec![lit(false)]),
            Reach::County { county, by: CountyBy::Field(field) } => all.push(in_county(stored(field), county)),
            Reach::County { county, by: CountyBy::Subject } => {
                all.push(self.among(item, People::Residents(county.clone())).await?);
            }
            Reach::Case { case, county } => {
                all.push(self.among(item, People::Case { case: case.clone(), county: county.clone() }).await?);
            }
        }
        if scope.authorised_only {
            all.push(self.among(item, People::Authorised { item: item.code.clone(), at: now }).await?);
        }
        if scope.without_minors {
            if item.code == "resident_identity" {
                all.push(born_by(now.date()));
            } else {
                all.push(self.among(item, People::Adults(now.date())).await?);
            }
        }
        if all.is_empty() && !subject.has_token() {
            return Ok(vec![lit(false)]);
        }
        Ok(all)
    }

    async fn among(&self, item: &Item, people: People) -> Result<Expr> {
        let set = self.set(people).await?;
        let udf = InScope { set, signature: Signature::any(1, Volatility::Immutable) };
        let column = stored(&item.subject_field().token_column());
        Ok(ScalarUDF::new_from_impl(udf).call(vec![column]))
    }

    async fn set(&self, people: People) -> Result<Arc<TokenSet>> {
        let versions: Vec<Option<u64>> = people.sources().iter().map(|source| self.base.version(source)).collect();
        let keep = versions.iter().all(Option::is_some) && !matches!(people, People::Authorised { .. });
        if keep
            && let Some((known, set)) = self.kept.lock().get(&people)
            && *known == versions
        {
            return Ok(Arc::clone(set));
        }
        let set = Arc::new(self.load(&people).await?);
        if keep {
            let mut kept = self.kept.lock();
            if kept.len() >= KEPT_SETS_MAX {
                kept.clear();
            }
            kept.insert(people, (versions, Arc::clone(&set)));
        }
        Ok(set)
    }

    async fn load(&self, people: &People) -> Result<TokenSet> {
        match people {
            People::Residents(county) => {
                let here = in_county(stored("hukou_division_code"), county);
                Ok(TokenSet::of(self.tokens("resident_identity", here, "citizen_id__token").await?))
            }
            People::Adults(today) => {
                Ok(TokenSet::of(self.tokens("resident_identity", born_by(*today), "citizen_id__token").await?))
            }
            People::Case { case, county } => self.household(case, county.as_deref()).await,
            People::Authorised { item, at } => self.authorised(item, *at).await,
        }
    }

    /// An application's people, or nobody when it was accepted elsewhere or does not exist.
    async fn household(&self, case: &str, county: Option<&str>) -> Result<TokenSet> {
        let of_case = stored("application_no").eq(lit(case));
        let here = match county {
            Some(county) => of_case.clone().and(in_county(stored("accept_town_code"), county)),
            None => of_case.clone(),
        };
        let mut tokens = self.tokens("assistance_application", here, "applicant_citizen_id__token").await?;
        if !tokens.is_empty() {
            let members = of_case.and(stored("member_role_code").not_eq(lit("06")));
            tokens.extend(self.tokens("declared_household_member", members, "citizen_id__token").await?);
        }
        Ok(TokenSet::of(tokens))
    }

    /// People covered for `item` (computation section 6, without the signer's age and the binding to one case).
    async fn authorised(&self, item: &str, at: Timestamp) -> Result<TokenSet> {
        let today = || Expr::Literal(ScalarValue::Date32(Some(days_since_epoch(at.date()))), None);
        let moment = || {
            Expr::Literal(
                ScalarValue::TimestampMillisecond(Some(at.0), Some(minqiao_schemas::model::TIME_ZONE.into())),
                None,
            )
        };
        let valid = stored("status_code")
            .eq(lit("1"))
            .and(stored("signed_at").lt_eq(moment()))
            .and(stored("valid_from").lt_eq(today()))
            .and(stored("valid_until").is_null().or(stored("valid_until").gt_eq(today())))
            .and(stored("revoked_at").is_null().or(stored("revoked_at").gt(moment())));
        let columns = ["grantor_citizen_id__token", "scope_codes"];
        let mut tokens = Vec::new();
        for batch in self.select("verification_authorization", valid, &columns).await? {
            let people = as_tokens(batch.column(0))?;
            let people: &FixedSizeBinaryArray = people.as_fixed_size_binary();
            let scopes = cast(batch.column(1), &DataType::Utf8)?;
            for (row, codes) in scopes.as_string::<i32>().iter().enumerate() {
                let covers = codes.is_some_and(|c| c.trim() == "ALL" || c.split(',').any(|one| one.trim() == item));
                if covers && people.is_valid(row) {
                    tokens.extend(token_at(people, row));
                }
            }
        }
        Ok(TokenSet::of(tokens))
    }

    async fn tokens(&self, item: &str, condition: Expr, column: &str) -> Result<Vec<u128>> {
        let mut tokens = Vec::new();
        for batch in self.select(item, condition, &[column]).await? {
            let people = as_tokens(batch.column(0))?;
            let people: &FixedSizeBinaryArray = people.as_fixed_size_binary();
            tokens
                .extend((0..people.len()).filter(|row| people.is_valid(*row)).filter_map(|row| token_at(people, row)));
        }
        Ok(tokens)
    }

    async fn select(&self, item: &str, condition: Expr, columns: &[&str]) -> Result<Vec<RecordBatch>> {
        let Some(provider) = self.base.current(item) else { return Ok(Vec::new()) };
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
        let source = datafusion::datasource::provider_as_source(provider);
        let plan = datafusion::logical_expr::LogicalPlanBuilder::scan(crate::predicate::STORED, source, None)?
            .filter(condition)?
            .project(columns.iter().map(|name| stored(name)))?
            .build()?;
        context.execute_logical_plan(plan).await?.collect().await
    }
}

/// Known to be at least fourteen on `today`; somebody born on 29 February comes of that age on 1 March.
fn born_by(today: NaiveDate) -> Expr {
    let latest =
        today.with_year(today.year() - MINOR_YEARS).or_else(|| today.succ_opt()?.with_year(today.year() - MINOR_YEARS));
    let latest = latest.unwrap_or(NaiveDate::MIN);
    stored("birth_date").lt_eq(Expr::Literal(ScalarValue::Date32(Some(days_since_epoch(latest))), None))
}

fn days_since_epoch(date: NaiveDate) -> i32 {
    i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).unwrap_or(i32::MIN)
}

impl People {
    fn sources(&self) -> &'static [&'static str] {
        match self {
            Self::Residents(_) | Self::Adults(_) => &["resident_identity"],
            Self::Case { .. } => &["assistance_application", "declared_household_member"],
            Self::Authorised { .. } => &["verification_authorization"],
        }
    }
}

/// Division and town codes begin with six digits of the county; a range lets Parquet skip what lies outside.
fn in_county(code: Expr, county: &str) -> Expr {
    code.clone().gt_eq(lit(county)).and(code.lt(lit(format!("{county}:"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_set_holds_exactly_its_tokens() {
        let token = |n: u128| n.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        for size in [0u128, 1, 2, 3, 5, 64, 1000] {
            let set = TokenSet::of((0..size).map(token).collect());
            assert!((0..size).all(|n| set.contains(token(n))));
            assert!((size..size + 1000).all(|n| !set.contains(token(n))), "{size}");
            assert!(!set.contains(token(5) ^ 1), "the tail counts too");
        }
    }

    #[test]
    fn fourteen_years_are_counted_by_the_calendar() {
        let day = |text: &str| text.parse::<NaiveDate>().expect("a date");
        assert!(born_by(day("2026-03-20")).to_string().contains("2012-03-20"));
        assert!(born_by(day("2028-02-29")).to_string().contains("2014-03-01"));
    }
}
