//! File patterns: `*` any run of characters, `?` any one, both within one folder; everything else means itself.

use std::fmt;

/// A pattern of file names, `/` between folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// Accepts relative patterns only: no leading `/`, no `..`, no backslash.
    pub fn new(pattern: &str) -> Option<Self> {
        let fits = !pattern.is_empty()
            && !pattern.contains('\\')
            && pattern.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        fits.then(|| Self(pattern.to_owned()))
    }

    /// How many folders deep its files are.
    pub fn depth(&self) -> usize {
        self.0.matches('/').count()
    }

    /// Whether a relative path matches.
    pub fn matches(&self, path: &str) -> bool {
        let mut pattern = self.0.split('/');
        let mut parts = path.split('/');
        loop {
            match (pattern.next(), parts.next()) {
                (None, None) => return true,
                (Some(pattern), Some(part)) if part_matches(pattern, part) => {}
                _ => return false,
            }
        }
    }

    /// The pattern.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Greedy matching with one remembered star: linear in practice, quadratic at worst.
fn part_matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star_p, star_t)) = star {
            p = star_p + 1;
            t = star_t + 1;
            star = Some((star_p, t));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_within_a_folder_only() {
        let check = |pattern: &str, path: &str| Glob::new(pattern).expect("valid pattern").matches(path);
        assert!(check("银行存款_*.csv", "银行存款_202611.csv"));
        assert!(!check("银行存款_*.csv", "银行存款_202611.xlsx"));
        assert!(!check("*.csv", "a/b.csv"));
        assert!(check("*/花名册(*)?.xlsx", "x/花名册(2026)1.xlsx"));
        assert!(check("*a*b", "xaxxbab") && !check("*a*b", "ba"));
        assert!(Glob::new("../x").is_none() && Glob::new("/x").is_none() && Glob::new("").is_none());
    }
}
