//! Walking a YAML tree while collecting every mistake.

use serde_norway::Value;

use super::Mistake;

/// Collects mistakes of one file.
#[derive(Debug)]
pub(super) struct Walk {
    file: String,
    pub(super) mistakes: Vec<Mistake>,
}

impl Walk {
    pub(super) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), mistakes: Vec::new() }
    }

    pub(super) fn mistake(&mut self, path: &str, zh: impl Into<String>, en: impl Into<String>) {
        self.mistakes.push(Mistake {
            file: self.file.clone(),
            path: path.to_owned(),
            message_zh: zh.into(),
            message_en: en.into(),
        });
    }

    /// Parses the text; a syntax error is one mistake at the root, with its line.
    pub(super) fn parse(&mut self, text: &str) -> Option<Value> {
        match serde_norway::from_str(text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.mistake("", format!("YAML 语法错误：{error}"), format!("not YAML: {error}"));
                None
            }
        }
    }

    /// The entries of a mapping whose keys are all among `allowed` (empty = any).
    pub(super) fn entries<'a>(&mut self, path: &str, value: &'a Value, allowed: &[&str]) -> Vec<(String, &'a Value)> {
        let Value::Mapping(map) = value else {
            self.mistake(path, "应为键值表", "must be a mapping");
            return Vec::new();
        };
        let mut entries = Vec::new();
        for (key, value) in map {
            let Some(key) = scalar(key) else {
                self.mistake(path, "键必须是文字", "keys must be text");
                continue;
            };
            if !allowed.is_empty() && !allowed.contains(&key.as_str()) {
                let list = allowed.join(", ");
                let at = join(path, &key);
                self.mistake(&at, format!("未知的键，可用：{list}"), format!("unknown key, known are: {list}"));
                continue;
            }
            entries.push((key, value));
        }
        entries
    }

    /// Text of a scalar.
    pub(super) fn text(&mut self, path: &str, value: &Value) -> Option<String> {
        let text = scalar(value).filter(|t| !t.is_empty());
        if text.is_none() {
            self.mistake(path, "应为非空文字", "must be non-empty text");
        }
        text
    }

    /// A small count.
    pub(super) fn count(&mut self, path: &str, value: &Value, max: u32) -> Option<u32> {
        let count = value.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| *n <= max);
        if count.is_none() {
            self.mistake(path, format!("应为 0 到 {max} 的整数"), format!("must be a whole number from 0 to {max}"));
        }
        count
    }
}

/// A scalar as text; truth values and numbers as they are written in YAML 1.2.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Appends a key to a path.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
