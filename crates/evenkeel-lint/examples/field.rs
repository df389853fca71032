//! Development runner.
use std::path::PathBuf;
fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let select = args.remove(0);
    let spec = evenkeel_lint::Spec {
        select: (select != "default").then(|| select.split(',').map(str::to_owned).collect()),
        ..Default::default()
    };
    let config = evenkeel_lint::Config::new(spec).unwrap();
    let t = std::time::Instant::now();
    let report = evenkeel_lint::Linter::new(config)
        .lint_paths(&args.iter().map(PathBuf::from).collect::<Vec<_>>())
        .unwrap();
    for f in &report.findings {
        println!("{}:{} {} {}", f.place.path, f.place.line, f.code, f.message);
    }
    for c in &report.crashes {
        eprintln!("CRASH {c:?}");
    }
    eprintln!(
        "{} files {} lines {} findings {:?}",
        report.files,
        report.lines,
        report.findings.len(),
        t.elapsed()
    );
}
