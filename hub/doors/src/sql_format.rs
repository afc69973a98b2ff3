//! Answers of a query in the form that the caller accepts. Rows are encoded batch by batch; a whole answer is never
//! held in memory except in the JSON object form, which the row limit bounds.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::StreamWriter;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

/// Form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// `{"columns": […], "rows": [{…}], "row_count": n}`.
    Json,
    /// One object per line.
    NdJson,
    /// UTF-8 with a header line; with BOM, so that spreadsheets read Chinese.
    Csv,
    /// Arrow IPC stream.
    Arrow,
}

impl Format {
    /// The first form of `Accept` that we speak; JSON when the header is absent or accepts anything.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let Some(accept) = headers.get(ACCEPT).and_then(|value| value.to_str().ok()) else { return Some(Self::Json) };
        accept.split(',').find_map(|part| match part.split(';').next().unwrap_or_default().trim() {
            "application/json" | "*/*" | "application/*" | "" => Some(Self::Json),
            "application/x-ndjson" => Some(Self::NdJson),
            "text/csv" => Some(Self::Csv),
            "application/vnd.apache.arrow.stream" => Some(Self::Arrow),
            _ => None,
        })
    }

    /// Media type of the answer.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::NdJson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }
}

/// Encodes one answer, piece by piece.
pub(crate) struct Encoder {
    format: Format,
    arrow: Option<StreamWriter<Vec<u8>>>,
    rows: usize,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("format", &self.format).field("rows", &self.rows).finish_non_exhaustive()
    }
}

type Encoded = Result<Vec<u8>, arrow::error::ArrowError>;

impl Encoder {
    /// Starts an answer; the bytes are what comes before the first row.
    pub(crate) fn start(format: Format, schema: &SchemaRef) -> Result<(Self, Vec<u8>), arrow::error::ArrowError> {
        let mut encoder = Self { format, arrow: None, rows: 0 };
        let head = match format {
            Format::Json => {
                let columns: Vec<_> = schema
                    .fields()
                    .iter()
                    .map(|f| serde_json::json!({"name": f.name(), "type": f.data_type().to_string()}))
                    .collect();
                format!("{{\"columns\":{},\"rows\":[", serde_json::Value::from(columns)).into_bytes()
            }
            Format::NdJson => Vec::new(),
            Format::Csv => csv_bytes(&RecordBatch::new_empty(schema.clone()), true)?,
            Format::Arrow => {
                let mut writer = StreamWriter::try_new(Vec::new(), schema)?;
                let head = std::mem::take(writer.get_mut());
                encoder.arrow = Some(writer);
                head
            }
        };
        Ok((encoder, head))
    }

    /// One more batch.
    pub(crate) fn batch(&mut self, batch: &RecordBatch) -> Encoded {
        let first = self.rows == 0;
        self.rows += batch.num_rows();
        match self.format {
            Format::Json => {
                let lines = json_lines(batch)?;
                let mut bytes = Vec::with_capacity(lines.len() + 1);
                for line in lines.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
                    if !(first && bytes.is_empty()) {
                        bytes.push(b',');
                    }
                    bytes.extend_from_slice(line);
                }
                Ok(bytes)
            }
            Format::NdJson => json_lines(batch),
            Format::Csv => csv_bytes(batch, false),
            Format::Arrow => match &mut self.arrow {
                Some(writer) => {
                    writer.write(batch)?;
                    Ok(std::mem::take(writer.get_mut()))
                }
                None => Ok(Vec::new()),
            },
        }
    }

    /// What comes after the last row.
    pub(crate) fn finish(mut self) -> Encoded {
        match self.format {
            Format::Json => Ok(format!("],\"row_count\":{}}}\n", self.rows).into_bytes()),
            Format::NdJson | Format::Csv => Ok(Vec::new()),
            Format::Arrow => match &mut self.arrow {
                Some(writer) => {
                    writer.finish()?;
                    Ok(std::mem::take(writer.get_mut()))
                }
                None => Ok(Vec::new()),
            },
        }
    }
}

pub(crate) fn json_lines(batch: &RecordBatch) -> Encoded {
    let mut bytes = Vec::new();
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut bytes);
    writer.write(batch)?;
    writer.finish()?;
    drop(writer);
    Ok(bytes)
}

fn csv_bytes(batch: &RecordBatch, header: bool) -> Encoded {
    let mut bytes = if header { "\u{feff}".as_bytes().to_vec() } else { Vec::new() };
    let mut writer = arrow::csv::WriterBuilder::new().with_header(header).build(&mut bytes);
    writer.write(batch)?;
    drop(writer);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int32Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn encode(format: Format) -> Vec<u8> {
        let schema = Arc::new(Schema::new(vec![
            Field::new("county", DataType::Utf8, false),
            Field::new("households", DataType::Int32, true),
        ]));
        let batch = |names: Vec<&str>, counts: Vec<Option<i32>>| {
            RecordBatch::try_new(
                schema.clone(),
                vec![Arc::new(StringArray::from(names)), Arc::new(Int32Array::from(counts))],
            )
            .expect("fits")
        };
        let (mut encoder, mut bytes) = Encoder::start(format, &schema).expect("start");
        bytes.extend(encoder.batch(&batch(vec!["环翠区", "a,b"], vec![Some(3), None])).expect("batch"));
        bytes.extend(encoder.batch(&batch(vec!["c"], vec![Some(1)])).expect("batch"));
        bytes.extend(encoder.finish().expect("finish"));
        bytes
    }

    #[test]
    fn every_form_reads_back() {
        let json: serde_json::Value = serde_json::from_slice(&encode(Format::Json)).expect("one JSON object");
        assert_eq!(json["row_count"], 3);
        assert_eq!(json["rows"][1]["households"], serde_json::Value::Null);
        assert_eq!(json["rows"][2]["county"], "c");
        assert_eq!(encode(Format::NdJson).iter().filter(|b| **b == b'\n').count(), 3);
        assert_eq!(
            String::from_utf8(encode(Format::Csv)).expect("utf-8"),
            "\u{feff}county,households\n环翠区,3\n\"a,b\",\nc,1\n"
        );
        let arrow = encode(Format::Arrow);
        let rows: usize = arrow::ipc::reader::StreamReader::try_new(arrow.as_slice(), None)
            .expect("stream")
            .map(|batch| batch.expect("batch").num_rows())
            .sum();
        assert_eq!(rows, 3);
    }
}
