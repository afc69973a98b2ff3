//! Text to the bytes of a file: charset and quoting.
//!
//! Almost all Chinese text here is in the two-byte part of GBK. Asking an encoder for every character is slow (it
//! searches), so the two-byte part is decoded once into a table by code point; the rare rest takes the four-byte form
//! of GB 18030, also in files that call themselves GBK: that is what departments' systems do, and what decoders read.

use std::sync::OnceLock;

use encoding_rs::GB18030;

use super::format::Charset;

/// Writes text in one charset.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pen {
    gb: Option<&'static [u16; 65536]>,
}

impl Pen {
    /// The pen of a charset.
    pub(super) fn new(charset: Charset) -> Pen {
        match charset {
            Charset::Gbk | Charset::Gb18030 => Pen { gb: Some(table()) },
            Charset::Utf8 | Charset::Utf8Bom => Pen { gb: None },
        }
    }

    /// Appends text.
    pub(super) fn write(self, out: &mut Vec<u8>, text: &str) {
        let Some(table) = self.gb else {
            out.extend_from_slice(text.as_bytes());
            return;
        };
        if text.is_ascii() {
            out.extend_from_slice(text.as_bytes());
            return;
        }
        for c in text.chars() {
            let code = u32::from(c);
            if code < 0x80 {
                out.push(code as u8);
                continue;
            }
            match table.get(code as usize) {
                Some(&pair) if pair != 0 => out.extend_from_slice(&pair.to_be_bytes()),
                _ => {
                    let mut buffer = [0u8; 4];
                    let (bytes, _, _) = GB18030.encode(c.encode_utf8(&mut buffer));
                    out.extend_from_slice(&bytes);
                }
            }
        }
    }

    /// Ends a cell that began at `start`: quotes it when it holds the separator, a quote or a line break.
    ///
    /// In GBK the second byte of a character can look like `|` or `^`; such a cell is quoted for nothing, which no
    /// reader minds that decodes before it splits.
    pub(super) fn close_cell(self, out: &mut Vec<u8>, start: usize, separator: u8) {
        let special = |b: &u8| *b == separator || matches!(b, b'"' | b'\n' | b'\r');
        if !out[start..].iter().any(special) {
            return;
        }
        out.insert(start, b'"');
        let mut at = start + 1;
        while let Some(next) = out[at..].iter().position(|b| *b == b'"') {
            out.insert(at + next, b'"');
            at += next + 2;
        }
        out.push(b'"');
    }
}

/// Two-byte GBK code by code point of the basic plane; 0 = none.
fn table() -> &'static [u16; 65536] {
    static TABLE: OnceLock<Box<[u16; 65536]>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = Box::new([0u16; 65536]);
        for lead in 0x81..=0xfeu8 {
            for trail in 0x40..=0xfeu8 {
                if trail == 0x7f {
                    continue;
                }
                let pair = [lead, trail];
                let Some(text) = GB18030.decode_without_bom_handling_and_without_replacement(&pair) else { continue };
                let mut chars = text.chars();
                if let (Some(c), None) = (chars.next(), chars.next())
                    && let Some(slot) = table.get_mut(u32::from(c) as usize)
                    && *slot == 0
                {
                    *slot = u16::from_be_bytes(pair);
                }
            }
        }
        table
    })
}
