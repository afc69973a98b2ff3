//! Which rows are damaged, and how: the stated list (`formats/errors.yaml`) turned into a draw per row.
//!
//! Every kind owns an interval of the row's dice, as wide as its rate. A row whose dice falls into the interval of a
//! kind that cannot happen to it stays clean, so the rate is a share of the rows that the error can happen to, and no
//! row ever has two errors.

use serde::Deserialize;

use super::ExportError;

/// Kind of injected error, in the order of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// A number of the time before 1999, without century and check character.
    #[serde(rename = "citizen_number_15_digits")]
    CitizenNumber15Digits,
    /// `x` instead of `X`.
    LowerCaseX,
    /// ０１２ instead of 012.
    FullWidthDigits,
    /// The last character does not belong to the other seventeen.
    WrongCheckCharacter,
    /// Fifteen digits and three zeros.
    CutByExcel,
    /// A required field without a value.
    BlankRequired,
    /// A word that is in no table.
    UnknownCode,
    /// 30 February, month 13.
    ImpossibleDate,
    /// Another person's name.
    WrongName,
    /// The same row once more, later in the same file.
    ExactDuplicate,
    /// The version before the row, written before it.
    NewerVersion,
    /// The version before the row, written after it.
    OlderVersion,
    /// In the file of the next period.
    LateArrival,
}

/// What must become of a damaged row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Repaired or harmless.
    Accepted,
    /// Seen before.
    Duplicate,
    /// Not taken.
    Quarantined,
}

impl Outcome {
    /// As in the truth files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Accepted => "accepted",
            Outcome::Duplicate => "duplicate",
            Outcome::Quarantined => "quarantined",
        }
    }
}

/// One entry of the list.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorRule {
    /// Kind.
    pub kind: ErrorKind,
    /// Rate among the rows that it can happen to.
    pub per_100k: u32,
    /// In words.
    pub applies_to: String,
    /// What must become of the row.
    pub outcome: Outcome,
    /// Reject reason of quarantined rows.
    #[serde(default)]
    pub reason: Option<String>,
    /// May strike rows on which others rest.
    #[serde(default)]
    pub harmless: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawList {
    errors: Vec<ErrorRule>,
}

/// The list with the upper ends of the intervals.
#[derive(Debug)]
pub struct ErrorList {
    rules: Vec<(u64, ErrorRule)>,
}

impl ErrorList {
    /// Parses the list.
    ///
    /// # Errors
    /// The list is not readable, rates exceed one, or a quarantined kind has no reason.
    pub fn parse(text: &str) -> Result<ErrorList, ExportError> {
        let wrong = |what: String| ExportError::Format { file: "errors.yaml".into(), what };
        let raw: RawList = serde_norway::from_str(text).map_err(|e| wrong(e.to_string()))?;
        let mut rules = Vec::new();
        let mut end = 0u64;
        for rule in raw.errors {
            let known =
                rule.reason.as_deref().is_some_and(|r| minqiao_schemas::Reason::ALL.iter().any(|x| x.code() == r));
            if (rule.outcome == Outcome::Quarantined) != known {
                return Err(wrong(format!("`{:?}`: quarantined rows and only they have a known reason", rule.kind)));
            }
            end += u64::from(rule.per_100k);
            rules.push((end, rule));
        }
        if end >= 100_000 { Err(wrong("rates exceed one".into())) } else { Ok(ErrorList { rules }) }
    }

    /// The entry that the dice falls on.
    pub(super) fn draw(&self, dice: u64) -> Option<&ErrorRule> {
        let at = ((u128::from(dice) * 100_000) >> 64) as u64;
        if at >= self.rules.last().map_or(0, |(end, _)| *end) {
            return None;
        }
        self.rules.iter().find(|(end, _)| at < *end).map(|(_, rule)| rule)
    }

    /// All entries.
    pub fn rules(&self) -> impl Iterator<Item = &ErrorRule> {
        self.rules.iter().map(|(_, rule)| rule)
    }
}
