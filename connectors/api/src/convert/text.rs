//! Text in canonical form.
//!
//! The form itself is the catalogue's ([`minqiao_schemas::normalise::text`]). Nearly all cells are canonical already: plain
//! ASCII, or ideographs of the main block, which it leaves alone. That is decided here by looking at each byte once.

use std::borrow::Cow;

use minqiao_schemas::normalise;

/// True when folding cannot change the text: ASCII and U+4000–U+9FFF only.
#[inline]
pub fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.is_ascii() {
        return true;
    }
    // Lead bytes E4–E9 begin U+4000–U+9FFF, none of which has a canonical decomposition or folds to ASCII.
    bytes.iter().all(|&b| b < 0xc0 || (0xe4..=0xe9).contains(&b))
}

/// Canonical form of a trimmed text; empty when nothing is left.
#[inline]
pub fn fold(text: &str) -> Cow<'_, str> {
    if is_plain(text) { Cow::Borrowed(text) } else { normalise::text(text).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::convert::trim;

    #[test]
    fn the_short_way_takes_only_what_the_catalogue_leaves_alone() {
        for text in
            ["王小明", "371002", "荣成市", "３７", "e\u{301}", "（一）", "欧阳·娜", "\u{9fb4}\u{20bb7}", "a\u{300}"]
        {
            let canonical = normalise::text(text).unwrap_or_default();
            assert_eq!(fold(text), canonical);
            assert!(!is_plain(text) || canonical == text, "{text}");
        }
    }

    proptest! {
        #[test]
        fn folding_agrees_with_the_catalogue(text in "\\PC{0,12}|[ａ-ｚ０-９一-龥 \u{300}-\u{304}]{0,8}") {
            let text = trim(&text);
            prop_assert_eq!(fold(text), normalise::text(text).unwrap_or_default());
        }
    }
}
