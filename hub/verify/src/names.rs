//! Agreement of number and name (R-IDM-02, computation 1.6).

use unicode_normalization::UnicodeNormalization;

/// What the register says about a (number, name) pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Agreement {
    /// The present name.
    Matched,
    /// A former name.
    MatchedFormer,
    /// Another name, or an empty one: D8, the row is used for nothing.
    Mismatched,
    /// The number is not in the register: the row is used.
    NotFound,
}

impl Agreement {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::MatchedFormer => "matched_former",
            Self::Mismatched => "mismatched",
            Self::NotFound => "not_found",
        }
    }
}

/// NFC; full-width forms to ASCII; white space and the three middle dots removed.
pub(crate) fn fold(name: &str) -> String {
    name.nfc()
        .map(|c| match c {
            '\u{FF01}'..='\u{FF5E}' => char::from_u32(c as u32 - 0xFEE0).unwrap_or(c),
            _ => c,
        })
        .filter(|c| !c.is_whitespace() && !matches!(c, '\u{B7}' | '\u{2022}' | '\u{30FB}'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn dots_spaces_and_widths_do_not_matter() {
        assert_eq!(fold("阿依古丽·买买提"), fold("阿依古丽•买买提"));
        assert_eq!(fold("阿依古丽・买买提"), fold("阿依古丽\u{3000}买买提 "));
        assert_eq!(fold("Ａｎｎａ"), "Anna");
        assert_eq!(fold(" ·\u{3000}"), "");
        assert_ne!(fold("王小明"), fold("王晓明"));
    }
}
