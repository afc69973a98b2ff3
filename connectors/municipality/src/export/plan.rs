//! What every block needs to know and nothing changes: formats, error list, counties, periods, and per item which
//! columns each error can strike.

use chrono::{Datelike, Months, NaiveDate};
use minqiao_schemas::{Catalogue, FieldType, Tag};

use super::errors::ErrorList;
use super::format::{self, Column, Form, Format, Kind, Period, Source};
use super::pen::Pen;
use super::shape::{DateShape, civil};
use super::{ExportError, ExportOptions};

/// Which file of an item: county (index, 0 when the item is not split) and period (0 when not split).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FileKey {
    pub(super) county: usize,
    pub(super) period: i32,
}

/// One item with its derived columns.
#[derive(Debug)]
pub(super) struct ItemPlan {
    pub(super) format: Format,
    pub(super) pen: Pen,
    /// (column, field) of citizen numbers.
    pub(super) numbers: Vec<(usize, usize)>,
    /// (column, field) of required fields.
    pub(super) required: Vec<(usize, usize)>,
    /// (column, field) of closed code tables.
    pub(super) codes: Vec<(usize, usize)>,
    /// (column, field) of days, months and moments.
    pub(super) dates: Vec<(usize, usize)>,
    /// Fields that hold amounts outside the key.
    pub(super) amounts: Vec<usize>,
    /// (number field, name field) of the first subject.
    pub(super) subject_name: Option<(usize, usize)>,
    /// Item number.
    pub(super) no: usize,
}

/// Everything that blocks share.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) last_day: NaiveDate,
    pub(super) city: String,
    pub(super) counties: Vec<(u32, String)>,
    pub(super) errors: ErrorList,
    pub(super) items: Vec<ItemPlan>,
}

/// Months of data dates that get files of their own; older rows go into the oldest of them.
const MONTHS_BACK: u32 = 24;

impl Plan {
    pub(super) fn new(options: &ExportOptions) -> Result<Plan, ExportError> {
        let catalogue = Catalogue::embedded();
        let items = format::load(catalogue)?.into_iter().map(ItemPlan::new).collect();
        let errors = ErrorList::parse(format::error_list()?)?;
        Ok(Plan {
            seed: options.seed,
            last_day: options.last_day,
            city: options.city.clone(),
            counties: options.counties.clone(),
            errors,
            items,
        })
    }

    /// The file that a row of `county` with `data_date` belongs to.
    pub(super) fn key(&self, format: &Format, county: u32, data_date: NaiveDate) -> FileKey {
        let county = if format.by_county { self.counties.iter().position(|c| c.0 == county).unwrap_or(0) } else { 0 };
        let first = self.last_day.checked_sub_months(Months::new(MONTHS_BACK)).unwrap_or(self.last_day);
        let day = data_date.clamp(first, self.last_day);
        FileKey { county, period: period_of(format.period, day) }
    }

    /// The key of the next period, when there is one.
    pub(super) fn next(&self, format: &Format, key: FileKey) -> Option<FileKey> {
        let next = FileKey { period: key.period + 1, ..key };
        (format.period != Period::None && next.period <= period_of(format.period, self.last_day)).then_some(next)
    }

    /// The last period's file of the first county.
    pub(super) fn default_key(&self, format: &Format) -> FileKey {
        FileKey { county: 0, period: period_of(format.period, self.last_day) }
    }

    /// Data date of a file.
    pub(super) fn data_date(&self, format: &Format, key: FileKey) -> NaiveDate {
        let end = match format.period {
            Period::None => None,
            Period::HalfYear if key.period % 2 == 0 => NaiveDate::from_ymd_opt(key.period / 2, 6, 30),
            Period::HalfYear => NaiveDate::from_ymd_opt(key.period / 2, 12, 31),
            Period::Year => NaiveDate::from_ymd_opt(key.period, 12, 31),
        };
        end.map_or(self.last_day, |end| end.min(self.last_day))
    }

    /// Fills the braces of a file name or title.
    pub(super) fn fill(&self, text: &str, format: &Format, key: FileKey) -> String {
        let day = civil(self.data_date(format, key));
        let pen = Pen::new(format::Charset::Utf8);
        let mut filled = text.to_owned();
        let shapes = [
            ("{date}", DateShape::Compact),
            ("{month}", DateShape::MonthCompact),
            ("{cndate}", DateShape::Chinese),
            ("{isodate}", DateShape::Iso),
            ("{dotdate}", DateShape::Dot),
            ("{slashdate}", DateShape::Slash),
        ];
        for (brace, shape) in shapes {
            if filled.contains(brace) {
                let mut out = Vec::new();
                shape.write(pen, &mut out, day);
                filled = filled.replace(brace, &String::from_utf8_lossy(&out));
            }
        }
        let county = self.counties.get(key.county).map_or("", |c| c.1.as_str());
        filled.replace("{city}", &self.city).replace("{county}", county)
    }
}

fn period_of(period: Period, day: NaiveDate) -> i32 {
    match period {
        Period::None => 0,
        Period::HalfYear => 2 * day.year() + i32::from(day.month() > 6),
        Period::Year => day.year(),
    }
}

impl ItemPlan {
    fn new(format: Format) -> ItemPlan {
        let item = format.item;
        let pen = match &format.kind {
            Kind::Csv { charset, .. } => Pen::new(*charset),
            Kind::Xlsx { .. } => Pen::new(format::Charset::Utf8),
        };
        let fields = |wanted: &dyn Fn(&Column, &Form, usize) -> bool| -> Vec<(usize, usize)> {
            let of = |(at, column): (usize, &Column)| match &column.source {
                Source::Field(field, form) if wanted(column, form, *field) => Some((at, *field)),
                _ => None,
            };
            format.columns.iter().enumerate().filter_map(of).collect()
        };
        let closed = |_: &Column, form: &Form, f: usize| {
            let field = &item.fields[f];
            let listed = field.table().is_some_and(|t| !t.values.is_empty() && t.pattern.is_none());
            listed && !field.name.ends_with("_codes") && matches!(form, Form::Text | Form::Codes(_))
        };
        let amounts = item.fields.iter().enumerate().filter(|(_, f)| {
            matches!(f.ty, FieldType::Decimal { scale: 2, .. })
                && !item.natural_key.contains(&f.name)
                && (f.has_tag(Tag::Income)
                    || ["amount", "price", "balance", "cost", "value"].iter().any(|w| f.name.contains(w)))
        });
        let position = |name: &str| item.fields.iter().position(|f| f.name == name);
        let subject_name = item.subject_fields.first().and_then(|number| {
            let name = match number.strip_suffix("citizen_id")? {
                "" => "full_name".to_owned(),
                prefix => format!("{prefix}name"),
            };
            Some((position(number)?, position(&name)?))
        });
        ItemPlan {
            pen,
            numbers: fields(&|_, _, f| item.fields[f].is_citizen_number()),
            required: fields(&|_, _, f| item.fields[f].required),
            codes: fields(&closed),
            dates: fields(&|_, form, _| matches!(form, Form::Date(_) | Form::Month(_) | Form::Time(_))),
            amounts: amounts.map(|(i, _)| i).collect(),
            subject_name,
            no: usize::from(item.no),
            format,
        }
    }
}
