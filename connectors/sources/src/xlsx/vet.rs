//! Looks into a workbook before it is opened.
//!
//! Every XML part is inflated once into nothing but a counter: sizes that an archive declares are claims, and checksums
//! are known at the end only. Refused are archives that are truncated, encrypted or damaged, parts that grow beyond the limits, markup
//! that no spreadsheet program writes (`<!…`), and runs of more than a MiB without a `>`, which the XML reader would have
//! to hold whole.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use memchr::memchr_iter;
use minqiao_connector_api::source::{Limits, Refusal};

/// Parts of an archive.
const PARTS_MAX: usize = 4096;
/// Bytes between two `>`.
const RUN_BYTES_MAX: u64 = 1 << 20;

/// Why a workbook is not opened.
#[derive(Debug)]
pub(super) enum Verdict {
    Refused(Refusal),
    Io(io::Error),
}

fn refused(code: &str, zh: &str, en: &str) -> Verdict {
    Verdict::Refused(Refusal::new(code, zh, en))
}

fn damaged() -> Verdict {
    refused(
        "schema_drift",
        "工作簿已损坏、不完整或加密，整个文件未接收。请取消密码或重新导出后报送。",
        "the workbook is damaged, incomplete or encrypted, the whole file is refused; remove the password or export it again",
    )
}

fn too_large() -> Verdict {
    refused(
        "oversize",
        "工作簿解压后过大，整个文件未接收。请拆分文件，或改用 CSV。",
        "the workbook is too large when unpacked, the whole file is refused; split it, or use CSV",
    )
}

/// Accepts or refuses the workbook at `path`.
pub(super) fn vet(path: &Path, limits: &Limits) -> Result<(), Verdict> {
    let mut file = File::open(path).map_err(Verdict::Io)?;
    let mut magic = Vec::new();
    Read::by_ref(&mut file).take(8).read_to_end(&mut magic).map_err(Verdict::Io)?;
    match magic.as_slice() {
        [] => {
            return Err(refused("schema_drift", "文件是空的。", "the file is empty"));
        }
        [b'P', b'K', 3, 4, ..] => {}
        [0xd0, 0xcf, 0x11, 0xe0, ..] => {
            return Err(refused(
                "schema_drift",
                "文件是旧版 Excel（.xls）或带密码的工作簿，整个文件未接收。请另存为不带密码的 .xlsx。",
                "the file is an old workbook (.xls) or has a password, the whole file is refused; save it as .xlsx without password",
            ));
        }
        _ => {
            return Err(refused(
                "schema_drift",
                "文件不是 Excel 工作簿（.xlsx），整个文件未接收。",
                "the file is no workbook (.xlsx); the whole file is refused",
            ));
        }
    }
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(|_| damaged())?;
    if archive.len() > PARTS_MAX {
        return Err(too_large());
    }
    let mut total = 0u64;
    for at in 0..archive.len() {
        let mut part = archive.by_index(at).map_err(|_| damaged())?;
        let Ok(name) = part.name().map(|name| name.to_ascii_lowercase()) else { return Err(damaged()) };
        if !name.ends_with(".xml") && !name.ends_with(".rels") {
            continue;
        }
        let limit =
            if name.ends_with("sharedstrings.xml") { limits.shared_strings_bytes } else { limits.workbook_bytes };
        total += inflate(&mut part, limit.min(limits.workbook_bytes - total))?;
    }
    Ok(())
}

/// Counts the bytes of a part, up to `limit`.
fn inflate(part: &mut impl Read, limit: u64) -> Result<u64, Verdict> {
    let mut buffer = vec![0u8; 64 << 10];
    let mut total = 0u64;
    let mut run = 0u64;
    let mut last = 0u8;
    loop {
        let count = part.read(&mut buffer).map_err(|_| damaged())?;
        if count == 0 {
            return Ok(total);
        }
        total += count as u64;
        if total > limit {
            return Err(too_large());
        }
        let chunk = &buffer[..count];
        let unusual =
            (last == b'<' && chunk[0] == b'!') || memchr_iter(b'!', chunk).any(|at| at > 0 && chunk[at - 1] == b'<');
        if unusual {
            return Err(damaged());
        }
        last = chunk[count - 1];
        let mut from = 0;
        for at in memchr_iter(b'>', chunk) {
            if run + (at - from) as u64 > RUN_BYTES_MAX {
                return Err(too_large());
            }
            run = 0;
            from = at + 1;
        }
        run += (count - from) as u64;
        if run > RUN_BYTES_MAX {
            return Err(too_large());
        }
    }
}
