//! Yes and no.

use super::text::half_width;
use crate::reason::Rule;

/// Reads 是/否, 有/无, 真/假, √/×, 1/0, Y/N, yes/no, T/F, true/false in any case and width; `None` for empty text.
///
/// # Errors
/// [`Rule::BooleanForm`].
pub fn boolean(raw: &str) -> Result<Option<bool>, Rule> {
    match raw {
        "1" | "是" | "true" => return Ok(Some(true)),
        "0" | "否" | "false" => return Ok(Some(false)),
        _ => {}
    }
    let word = half_width(raw);
    if word.is_empty() {
        return Ok(None);
    }
    match word.to_ascii_lowercase().as_str() {
        "是" | "有" | "真" | "√" | "1" | "y" | "yes" | "t" | "true" => Ok(Some(true)),
        "否" | "无" | "假" | "×" | "0" | "n" | "no" | "f" | "false" => Ok(Some(false)),
        _ => Err(Rule::BooleanForm),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_words_in_any_width() {
        for yes in ["是", "1", "１", "Y", "true", " TRUE ", "有", "Ｙ"] {
            assert_eq!(boolean(yes), Ok(Some(true)), "{yes}");
        }
        for no in ["否", "0", "N", "False", "无", "０"] {
            assert_eq!(boolean(no), Ok(Some(false)), "{no}");
        }
        assert_eq!(boolean("　"), Ok(None));
        assert_eq!(boolean("2"), Err(Rule::BooleanForm));
        assert_eq!(boolean("不详"), Err(Rule::BooleanForm));
    }
}
