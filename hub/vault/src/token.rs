//! Tokens and pseudonyms.
//!
//! A token joins records inside the hub: HMAC(token key, `domain ‖ 0x1F ‖ canonical text`), first 16 bytes. Citizen
//! numbers share the domain `person`, so a person has one token in all items. Tokens never leave the hub. What a user
//! sees instead is a pseudonym: it differs by purpose, so two releases for two purposes cannot be joined.

use std::sync::Arc;

use minqiao_core::Token;
use minqiao_schemas::model::{TOKEN_DOMAIN_ACCOUNT, TOKEN_DOMAIN_PERSON};

use crate::canonical;
use crate::seal::token_from;
use crate::vault::Inner;

/// Bytes of a token.
pub(crate) const TOKEN_BYTES: usize = 16;
/// Domain of record keys (`_key`).
pub(crate) const DOMAIN_KEY: &str = "key";
/// Bytes of a pseudonym before it is written: 80 bits collide once in 10^8 persons with a chance below 10^-8.
const PSEUDONYM_BYTES: usize = 10;
/// Crockford's alphabet: no I, L, O, U, so that a pseudonym survives being read aloud.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Computes tokens and pseudonyms. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tokens {
    vault: Arc<Inner>,
}

impl Tokens {
    pub(crate) fn new(vault: Arc<Inner>) -> Self {
        Self { vault }
    }

    /// Token of a citizen number in canonical form (18 characters, `X` upper-case).
    pub fn person_token(&self, citizen_number: &str) -> Token {
        self.token(TOKEN_DOMAIN_PERSON, citizen_number)
    }

    /// Token of an account, card, policy or provident-fund number.
    pub fn account_token(&self, number: &str) -> Token {
        self.token(TOKEN_DOMAIN_ACCOUNT, number)
    }

    /// Token of a sealed key field: domain `field:<name>`.
    pub fn field_token(&self, field: &str, value: &str) -> Token {
        self.token(&format!("field:{field}"), value)
    }

    /// Token of `value` in `domain`, as [`minqiao_schemas::Field::token_domain`] names it.
    pub fn token(&self, domain: &str, value: &str) -> Token {
        token_from(self.vault.domain(domain).mac(value.as_bytes()))
    }

    /// `_key` of a row: item and the canonical texts of its natural key, in key order.
    pub fn record_key<'a>(&self, item: &str, values: impl IntoIterator<Item = &'a str>) -> Token {
        let mut text = item.as_bytes().to_vec();
        for value in values {
            canonical::write_key_part(&mut text, value.as_bytes());
        }
        token_from(self.vault.domain(DOMAIN_KEY).mac(&text))
    }

    /// What a user who works for `purpose` sees instead of the token: 16 characters, the same for the same purpose
    /// and person, unrelated between purposes.
    pub fn pseudonym(&self, purpose: &str, token: &Token) -> String {
        let mut text = Vec::with_capacity(purpose.len() + 1 + TOKEN_BYTES);
        text.extend_from_slice(purpose.as_bytes());
        text.push(canonical::SEPARATOR);
        text.extend_from_slice(&token.0);
        let mac = self.vault.ring().pseudonym.mac(&text);
        base32(&mac[..PSEUDONYM_BYTES])
    }
}

fn base32(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(5) * 8);
    for chunk in bytes.chunks(5) {
        let mut word = [0; 8];
        word[3..3 + chunk.len()].copy_from_slice(chunk);
        let bits = u64::from_be_bytes(word);
        for place in (0..8).rev() {
            out.push(char::from(ALPHABET[(bits >> (place * 5) & 31) as usize]));
        }
    }
    out
}

/// Whether a text that should be opaque holds a run of 15 or more digits: long enough for a citizen number.
pub(crate) fn looks_like_identifier(text: &str) -> bool {
    let mut run = 0;
    text.bytes().any(|byte| {
        run = if byte.is_ascii_digit() { run + 1 } else { 0 };
        run >= 15
    })
}
