//! Rows from the lake.
//!
//! The lake holds citizen numbers, names and account numbers sealed, yet the computation needs birth dates, sex, the
//! order of numbers and the agreement of names. They are unsealed here, in the memory of the verifying process, and
//! only for rows that a walk asked for. Why nothing leaks by it:
//!
//! - No attribute is derived when sealing, so the lake and the bus hold nothing that they would not hold anyway: a
//!   birth date beside a token would let a thief sort and match people.
//! - Rows are selected by token, before anything is unsealed; a scan of the whole city unseals the rows of applicants,
//!   their families and obligors, never the city.
//! - Clear values live in [`crate::facts::Facts`], which is dropped with the verification, is never written, and whose
//!   numbers show nothing under `Debug`; no error and no log line of this crate holds a value.
//! - Results print a number only through the `show` that the caller passes: a pseudonym, unless the caller's purpose
//!   lets it see the number.
//!
//! Selection is DataFusion's: a scan as of the moment, joined with the wanted tokens, projected to the columns that the
//! computation reads. Few persons are looked up through the lake's point index instead.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, FixedSizeBinaryArray, RecordBatch, StringArray, UInt32Array,
};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use datafusion::common::JoinType;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext, col, lit};
use minqiao_core::{Timestamp, Token};
use minqiao_lake::{ItemSnapshot, Lake, LakeError};
use minqiao_schemas::{Item, envelope};
use minqiao_vault::{Tokens, Unsealer};
use rayon::prelude::*;

use crate::calendar::Day;
use crate::number::Citizen;
use crate::source::{Ask, RowSource, SourceError, columns_of};

/// Up to this many persons are looked up in the point index, more are joined with a scan.
const LOOKUP_MAX: usize = 512;

/// One picture of the lake for one verification: every item is read at the version that it had when first asked for.
pub struct LakeSource {
    lake: Arc<Lake>,
    unsealer: Unsealer,
    tokens: Tokens,
    session: SessionContext,
    pictures: Mutex<HashMap<String, ItemSnapshot>>,
    known: RwLock<Known>,
}

/// Persons that were asked for. Their tokens are computed once, and their numbers need not be unsealed row by row.
#[derive(Default)]
struct Known {
    tokens: HashMap<Citizen, Token>,
    numbers: HashMap<Token, Citizen>,
}

fn store(item: &Item) -> impl Fn(Box<dyn std::error::Error + Send + Sync>) -> SourceError {
    let item = item.code.clone();
    move |source| SourceError::Store { item: item.clone(), source }
}

impl std::fmt::Debug for LakeSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LakeSource").field("lake", &self.lake).finish_non_exhaustive()
    }
}

impl LakeSource {
    /// A source over the lake as it is now.
    pub fn new(lake: Arc<Lake>, unsealer: Unsealer, tokens: Tokens) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // The join with the wanted persons reaches into the scan: other people's rows are not decoded.
        let mut config = SessionConfig::new().with_target_partitions(cores);
        config.options_mut().execution.parquet.pushdown_filters = true;
        let session = SessionContext::new_with_config(config);
        Self { lake, unsealer, tokens, session, pictures: Mutex::default(), known: RwLock::default() }
    }

    /// Tokens of persons, in their order.
    fn tokens_of(&self, numbers: &[Citizen]) -> Vec<Token> {
        let new: Vec<Citizen> = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            numbers.iter().filter(|number| !known.tokens.contains_key(number)).copied().collect()
        };
        let tokens: Vec<(Citizen, Token)> =
            new.into_par_iter().map(|number| (number, self.tokens.person_token(&number.to_string()))).collect();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for (number, token) in tokens {
            known.tokens.insert(number, token);
            known.numbers.insert(token, number);
        }
        numbers.iter().filter_map(|number| known.tokens.get(number).copied()).collect()
    }

    /// Version of every item that was read, for the report; items without rows are left out.
    pub fn versions(&self) -> std::collections::BTreeMap<String, i64> {
        let pictures = self.pictures.lock().unwrap_or_else(PoisonError::into_inner);
        pictures.iter().map(|(item, picture)| (item.clone(), picture.version())).filter(|(_, v)| *v >= 0).collect()
    }

    fn picture(&self, item: &Item) -> Result<ItemSnapshot, LakeError> {
        let mut pictures = self.pictures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(picture) = pictures.get(&item.code) {
            return Ok(picture.clone());
        }
        let picture = self.lake.snapshot(&item.code)?;
        pictures.insert(item.code.clone(), picture.clone());
        Ok(picture)
    }

    fn frame(&self, item: &Item, as_of: Timestamp) -> Result<DataFrame, SourceError> {
        let picture = self.picture(item).map_err(|e| store(item)(Box::new(e)))?;
        self.session.read_table(picture.as_of(as_of)).map_err(|e| store(item)(Box::new(e)))
    }

    /// Rows whose column is among the values of a one-column table.
    fn joined(&self, item: &Item, frame: DataFrame, on: &str, wanted: ArrayRef) -> Result<DataFrame, SourceError> {
        let fail = store(item);
        let schema = Schema::new(vec![Field::new("wanted", wanted.data_type().clone(), false)]);
        let batch = RecordBatch::try_new(Arc::new(schema), vec![wanted]).map_err(|e| fail(Box::new(e)))?;
        let wanted = self.session.read_batch(batch).map_err(|e| fail(Box::new(e)))?;
        frame.join(wanted, JoinType::LeftSemi, &[on], &["wanted"], None).map_err(|e| fail(Box::new(e)))
    }

    async fn collect(&self, item: &Item, frame: DataFrame, columns: &[&str]) -> Result<Vec<RecordBatch>, SourceError> {
        let fail = store(item);
        let frame = frame.select_columns(columns).map_err(|e| fail(Box::new(e)))?;
        frame.collect().await.map_err(|e| fail(Box::new(e)))
    }

    /// The same rows with every sealed column in clear.
    fn unsealed(&self, item: &Item, sealed: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, SourceError> {
        sealed.into_par_iter().map(|batch| self.unsealed_batch(item, &batch)).collect()
    }

    fn unsealed_batch(&self, item: &Item, batch: &RecordBatch) -> Result<RecordBatch, SourceError> {
        let fail = store(item);
        let mut fields = Vec::with_capacity(batch.num_columns());
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
        for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            if field.name().ends_with(envelope::TOKEN_SUFFIX) {
                continue;
            }
            let of_item = item.field(field.name());
            let clear = if let Some(of_item) = of_item.filter(|f| f.is_sealed()) {
                let binary = cast(column, &DataType::Binary).map_err(|e| fail(Box::new(e)))?;
                let tokens = batch.column_by_name(&of_item.token_column()).filter(|_| of_item.is_citizen_number());
                self.opened(item, field.name(), binary.as_binary(), tokens.and_then(|t| t.as_fixed_size_binary_opt()))?
            } else if matches!(column.data_type(), DataType::Utf8View | DataType::LargeUtf8) {
                cast(column, &DataType::Utf8).map_err(|e| fail(Box::new(e)))?
            } else {
                Arc::clone(column)
            };
            fields.push(Field::new(field.name(), clear.data_type().clone(), true));
            columns.push(clear);
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|e| fail(Box::new(e)))
    }

    /// Opens a sealed column; numbers of persons that are known by their tokens are looked up instead.
    fn opened(
        &self,
        item: &Item,
        field: &str,
        sealed: &BinaryArray,
        tokens: Option<&FixedSizeBinaryArray>,
    ) -> Result<ArrayRef, SourceError> {
        let open = |sealed: &BinaryArray| {
            let opened = self.unsealer.column_of(item, field, sealed);
            opened.map_err(|source| SourceError::Unseal { item: item.code.clone(), source })
        };
        let Some(tokens) = tokens else { return open(sealed) };
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let number = |row: usize| -> Option<Citizen> {
            let token = tokens.is_valid(row).then(|| tokens.value(row).try_into().ok().map(Token)).flatten()?;
            known.numbers.get(&token).copied()
        };
        let numbers: Vec<Option<Citizen>> = (0..sealed.len()).map(number).collect();
        drop(known);
        let strange: UInt32Array = (0..)
            .zip(&numbers)
            .filter(|(row, n)| n.is_none() && sealed.is_valid(*row as usize))
            .map(|(row, _)| row)
            .collect();
        let others = take(sealed, &strange, None).map_err(|e| store(item)(Box::new(e)))?;
        let others = open(others.as_binary())?;
        let mut others = others.as_string_opt::<i32>().into_iter().flatten();
        let clear = (0..sealed.len()).zip(numbers).map(|(row, known)| match known {
            Some(number) => Some(number.to_string()),
            None if sealed.is_valid(row) => others.next().flatten().map(str::to_owned),
            None => None,
        });
        Ok(Arc::new(clear.collect::<StringArray>()))
    }

    async fn by_persons(
        &self,
        item: &Item,
        as_of: Timestamp,
        fields: &[&str],
        tokens: &[Token],
    ) -> Result<Vec<RecordBatch>, SourceError> {
        let mut columns = columns_of(item);
        let by_token: Vec<String> = columns
            .iter()
            .filter_map(|name| item.field(name))
            .filter(|f| f.is_citizen_number() && f.is_sealed() && f.has_token())
            .map(minqiao_schemas::Field::token_column)
            .collect();
        columns.extend(by_token.iter().map(String::as_str));
        let columns = &columns;
        let by_field = fields.iter().filter_map(|name| item.field(name)).map(|field| async move {
            let column = field.token_column();
            if tokens.len() <= LOOKUP_MAX {
                let picture = self.picture(item).map_err(|e| store(item)(Box::new(e)))?;
                let rows = picture.scan_tokens(Some(as_of), &column, tokens, Some(columns)).await;
                return rows.map_err(|e| store(item)(Box::new(e)));
            }
            let wanted = FixedSizeBinaryArray::try_from_iter(tokens.iter().map(|t| t.0))
                .map_err(|e| store(item)(Box::new(e)))?;
            let frame = self.joined(item, self.frame(item, as_of)?, &column, Arc::new(wanted))?;
            self.collect(item, frame, columns).await
        });
        let found = futures::future::try_join_all(by_field).await?.concat();
        Ok(found)
    }
}

#[async_trait]
impl RowSource for LakeSource {
    async fn rows(&self, item: &Item, as_of: Timestamp, ask: Ask<'_>) -> Result<Vec<RecordBatch>, SourceError> {
        let rows = match ask {
            Ask::Everything => self.collect(item, self.frame(item, as_of)?, &columns_of(item)).await?,
            Ask::Persons { fields, numbers } => {
                let tokens = self.tokens_of(numbers);
                self.by_persons(item, as_of, fields, &tokens).await?
            }
            Ask::Texts { field, values } => {
                let frame = self.frame(item, as_of)?;
                let frame = if values.len() <= LOOKUP_MAX {
                    let list = values.iter().map(|v| lit(v.as_str())).collect();
                    frame.filter(col(field).in_list(list, false)).map_err(|e| store(item)(Box::new(e)))?
                } else {
                    self.joined(item, frame, field, Arc::new(StringArray::from_iter_values(values)))?
                };
                self.collect(item, frame, &columns_of(item)).await?
            }
        };
        self.unsealed(item, rows)
    }

    async fn feed_date(&self, item: &Item, as_of: Timestamp) -> Result<Option<Day>, SourceError> {
        let fail = |e: LakeError| store(item)(Box::new(e));
        let picture = self.picture(item).map_err(fail)?;
        Ok(picture.latest_date(envelope::DATA_DATE, as_of).await.map_err(fail)?.map(Day))
    }

    async fn history(&self, item: &Item) -> Result<Vec<RecordBatch>, SourceError> {
        let picture = self.picture(item).map_err(|e| store(item)(Box::new(e)))?;
        let frame = self.session.read_table(picture.changes()).map_err(|e| store(item)(Box::new(e)))?;
        let mut columns = columns_of(item);
        columns.extend([
            envelope::SOURCE_UPDATED_AT,
            envelope::RECEIVED_AT,
            envelope::DATA_DATE,
            envelope::OP,
            envelope::CONTENT_HASH,
        ]);
        let rows = self.collect(item, frame, &columns).await?;
        self.unsealed(item, rows)
    }
}
