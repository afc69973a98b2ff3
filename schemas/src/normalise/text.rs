//! Text: NFC, trimmed, full-width digits and letters folded to half-width; nothing left = null.
//!
//! Punctuation stays as written (（）is good Chinese); numbers and dates fold theirs in [`half_width`].

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// Canonical text; `None` when nothing is left.
pub fn text(raw: &str) -> Option<Cow<'_, str>> {
    let trimmed = trim(raw);
    if trimmed.is_empty() {
        return None;
    }
    if trimmed.is_ascii() || is_plain(trimmed) {
        return Some(Cow::Borrowed(trimmed));
    }
    let normal: String = trimmed.chars().map(fold_alphanumeric).nfc().collect();
    // Composition can turn an odd blank into an ordinary one, so the ends are looked at again.
    let again = trim(&normal);
    if again.is_empty() {
        return None;
    }
    Some(Cow::Owned(if again.len() == normal.len() { normal } else { again.to_owned() }))
}

/// Whether text is canonical already. Never allocates for what departments write.
pub fn is_canonical(value: &str) -> bool {
    if value.is_empty() || trim(value).len() != value.len() {
        return false;
    }
    value.is_ascii() || is_plain(value)
}

/// Blanks in the Unicode sense, control characters and the invisible characters that spreadsheets leave behind.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '\u{feff}' | '\u{200b}')
}

fn trim(value: &str) -> &str {
    // Most values start and end with something printable.
    let bytes = value.as_bytes();
    if let (Some(first), Some(last)) = (bytes.first(), bytes.last())
        && (0x21..0x7f).contains(first)
        && (0x21..0x7f).contains(last)
    {
        return value;
    }
    value.trim_matches(is_blank)
}

/// No character that folding or composition would change.
fn is_plain(value: &str) -> bool {
    let mut sure = true;
    for c in value.chars() {
        match c {
            '\0'..='\u{2ff}' | '\u{4e00}'..='\u{9fff}' | '\u{3000}'..='\u{3029}' => {}
            _ if fold_alphanumeric(c) != c => return false,
            // Full-width punctuation composes with nothing.
            '\u{ff01}'..='\u{ff5e}' => {}
            _ => sure = false,
        }
    }
    sure || matches!(is_nfc_quick(value.chars()), IsNormalized::Yes) || (value.chars().nfc().eq(value.chars()))
}

fn fold_alphanumeric(c: char) -> char {
    match c {
        '\u{ff10}'..='\u{ff19}' | '\u{ff21}'..='\u{ff3a}' | '\u{ff41}'..='\u{ff5a}' => half(c),
        _ => c,
    }
}

fn half(c: char) -> char {
    char::from_u32(c as u32 - 0xfee0).unwrap_or(c)
}

/// Everything full-width to half-width, for numbers, dates and identifiers, whose punctuation carries meaning.
pub(super) fn half_width(raw: &str) -> Cow<'_, str> {
    let trimmed = trim(raw);
    if trimmed.is_ascii() {
        return Cow::Borrowed(trimmed);
    }
    let fold = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => half(c),
        '\u{3000}' | '\u{a0}' => ' ',
        '\u{2212}' | '\u{2013}' => '-',
        _ => c,
    };
    Cow::Owned(trimmed.chars().map(fold).collect())
}

/// Without blanks inside.
pub(super) fn without_blanks(value: Cow<'_, str>) -> Cow<'_, str> {
    if value.contains(is_blank) { Cow::Owned(value.chars().filter(|c| !is_blank(*c)).collect()) } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn digits_and_letters_fold_and_punctuation_stays() {
        assert_eq!(text("　Ａ１２ｂ（甲）　").as_deref(), Some("A12b（甲）"));
        assert_eq!(text("\u{feff} 环翠区\t").as_deref(), Some("环翠区"));
        assert_eq!(text(" \u{3000}\r\n"), None);
    }

    #[test]
    fn composed_and_decomposed_names_are_one() {
        assert_eq!(text("e\u{301}").as_deref(), Some("é"));
        // Folding comes first: a full-width letter composes only after it.
        assert_eq!(text("Ａ\u{30a}").as_deref(), Some("Å"));
        assert_eq!(text("\u{f900}").as_deref(), Some("豈"));
    }

    #[test]
    fn canonical_text_is_borrowed() {
        for raw in ["C-001", "威海市环翠区（文化西路）", "𠮷田"] {
            assert!(matches!(text(raw), Some(Cow::Borrowed(t)) if t == raw), "{raw}");
            assert!(is_canonical(raw));
        }
        for raw in ["", " a", "a　", "１", "e\u{301}"] {
            assert!(!is_canonical(raw), "{raw}");
        }
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(raw in "\\PC{0,12}|[ａ-ｚＡ-Ｚ０-９ \u{300}-\u{304}\u{3000}ÅK한글]{0,8}|.{0,8}") {
            if let Some(once) = text(&raw) {
                prop_assert!(is_canonical(&once), "{:?}", once);
                prop_assert_eq!(text(&once), Some(Cow::Borrowed(once.as_ref())));
            }
        }
    }
}
