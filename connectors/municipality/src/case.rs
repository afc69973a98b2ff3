//! The families of all applications as a case folder, past the departments' files.
//!
//! When the hub's answer on a city differs from the truth, this tells whether the road (files, connectors, intake) or
//! the computation is to blame: the folder holds exactly the rows that the hub can know, for
//! `minqiao verify --from-folder`.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use minqiao_schemas::{Catalogue, FieldType};
use serde_json::{Map, Value as Json, json};

use crate::{
    calendar::{TODAY, at, print_ts},
    chance::hash2,
    city::{City, CityOptions},
    export::{DepartmentFiles, ExportOptions},
    generate::{CityError, blocks},
    items::{Item, Ts, public_security::ResidentIdentity},
    life::live_block,
    parameters,
    row::{Delivery, Exporter, Row, Value},
    scribe::Entry,
    truth,
};

/// Stands for another person's name.
const STRANGER: &str = "某外人";

/// Writes the case folder of the city `options` to `dir`, with `truth.ndjson` beside it.
///
/// # Errors
/// Writing failed, or the options cannot be met.
pub fn case_folder(dir: &Path, options: &CityOptions) -> Result<(), CityError> {
    std::fs::create_dir_all(dir)?;
    let city = City::found(options);
    let scratch = dir.join("exports-unused");
    let exporter = DepartmentFiles::create(&ExportOptions {
        dir: scratch.clone(),
        seed: options.seed,
        city: "威海市".to_owned(),
        last_day: crate::calendar::SNAPSHOT,
        counties: city.seats.iter().map(|s| (s.place.code, s.place.name.to_owned())).collect(),
    })?;
    let mut files: BTreeMap<usize, BufWriter<File>> = BTreeMap::new();
    let mut truths = BufWriter::new(File::create(dir.join("truth.ndjson"))?);
    let mut runs = Vec::new();
    for (block, quota) in blocks(options.residents) {
        let mut sink = exporter.open_block(block);
        let mut failed: io::Result<()> = Ok(());
        let mut told = None;
        live_block(&city, block, quota, &mut sink, |number, seat, rows| {
            let Some(truth) = truth::judge(number, seat, rows, false) else { return };
            // A family with several applications is written once.
            let first = rows.first().map(|e| e.row.values.clone());
            let fresh = told != first;
            told = first;
            let mut step = || -> io::Result<()> {
                serde_json::to_writer(&mut truths, &truth)?;
                truths.write_all(b"\n")?;
                if fresh { write_rows(dir, &mut files, rows) } else { Ok(()) }
            };
            failed = std::mem::replace(&mut failed, Ok(())).and_then(|()| step());
            runs.push(
                json!({"application_no": truth.application_no, "as_of": print_ts(truth::as_of()), "reverify_on": null}),
            );
        });
        failed?;
    }
    for (_, mut file) in files {
        file.flush()?;
    }
    truths.flush()?;
    std::fs::remove_dir_all(&scratch)?;
    let codes: Vec<&str> = city.seats.iter().map(|s| s.place.code_text).collect();
    std::fs::write(dir.join("runs.json"), Json::Array(runs).to_string())?;
    std::fs::write(dir.join("parameters.json"), parameters::file(&codes).to_string())?;
    Ok(())
}

fn write_rows(dir: &Path, files: &mut BTreeMap<usize, BufWriter<File>>, rows: &[Entry]) -> io::Result<()> {
    for entry in rows.iter().filter(|e| e.delivery != Delivery::Quarantined) {
        let file = match files.entry(entry.item) {
            std::collections::btree_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::btree_map::Entry::Vacant(none) => {
                let code = &Catalogue::embedded().items()[entry.item - 1].code;
                none.insert(BufWriter::new(File::create(dir.join(format!("{code}.ndjson")))?))
            }
        };
        serde_json::to_writer(&mut *file, &object(entry))?;
        file.write_all(b"\n")?;
    }
    Ok(())
}

fn object(entry: &Entry) -> Json {
    let item = &Catalogue::embedded().items()[entry.item - 1];
    let Row { values, source_updated_at, data_date, delete, .. } = &entry.row;
    let mut object = Map::new();
    let name_field = item.fields.iter().position(|f| {
        [
            "full_name",
            "owner_name",
            "holder_name",
            "party_name",
            "buyer_name",
            "contractor_name",
            "operator_name",
            "applicant_name",
            "head_name",
            "grantor_name",
            "newborn_name",
        ]
        .contains(&f.name.as_str())
    });
    for (i, (field, value)) in item.fields.iter().zip(values).enumerate() {
        let value = match (value, field.ty) {
            (Value::Null, _) => continue,
            (Value::Text(_), _)
                if Some(i) == name_field
                    && entry.delivery == Delivery::Misnamed
                    && entry.item != ResidentIdentity::NO =>
            {
                json!(STRANGER)
            }
            (Value::Text(t), _) => json!(**t),
            (Value::Int(n), _) => json!(n),
            (Value::Bool(b), _) => json!(b),
            (Value::Date(d), _) => json!(d.to_string()),
            (Value::Time(ms), _) => json!(print_ts(Ts(*ms))),
            (Value::Decimal(n), FieldType::Decimal { scale, .. }) => json!(decimal(*n, scale.unsigned_abs())),
            (Value::Decimal(n), _) => json!(n.to_string()),
        };
        object.insert(field.name.clone(), value);
    }
    let hash = format!("{values:?}").bytes().fold(0u64, |h, b| hash2(h, u64::from(b)));
    let received = at(TODAY, 9 * 60);
    object.insert("_source_updated_at".into(), json!(print_ts(Ts(*source_updated_at))));
    object.insert("_received_at".into(), json!(print_ts(received)));
    object.insert("_data_date".into(), json!(data_date.to_string()));
    object.insert("_op".into(), json!(if *delete { "delete" } else { "upsert" }));
    object.insert("_content_hash".into(), json!(format!("{hash:064x}")));
    Json::Object(object)
}

fn decimal(n: i128, scale: u8) -> String {
    let unit = 10i128.pow(u32::from(scale));
    let sign = if n < 0 { "-" } else { "" };
    let (whole, part) = (n.abs() / unit, n.abs() % unit);
    if scale == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{part:0width$}", width = usize::from(scale))
    }
}
