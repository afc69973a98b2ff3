use super::*;
#[test]
#[ignore = "measures"]
fn measure() {
    let dir = tempfile::tempdir().unwrap();
    for code in ["pension_contribution", "individual_income_tax", "bank_deposit", "medical_settlement", "distressed_worker"] {
        let item = Catalogue::embedded().item(code).unwrap();
        let mut base: Vec<Row> = (0..1000).map(|n| row(item, n)).collect();
        let mut files = DepartmentFiles::create(&options(&dir.path().join(code), 1)).unwrap();
        #[allow(clippy::disallowed_methods, reason = "x")]
        let start = std::time::Instant::now();
        let blocks = if code == "distressed_worker" { 100 } else { 1000 };
        let (mut a, mut b) = (0.0, 0.0);
        for block in 0..blocks {
            let clones = base.clone();
            let t = std::time::Instant::now();
            let mut sink = files.open_block(block);
            for row in clones {
                sink.emit(usize::from(item.no), row);
            }
            a += t.elapsed().as_secs_f64();
            let t = std::time::Instant::now();
            files.append(sink).unwrap();
            b += t.elapsed().as_secs_f64();
        }
        let t = std::time::Instant::now();
        files.finish().unwrap();
        let c = t.elapsed().as_secs_f64();
        let n = blocks as f64 * 1000.0;
        base.clear();
        eprintln!("{code}: {:.0} rows/s emit, {:.0} rows/s append, finish {c:.2}s total {:.2}s", n / a, n / b, start.elapsed().as_secs_f64());
    }
}
