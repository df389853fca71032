//! Fixed files still parse and compile, and what does not ask for unsafe fixes changes nothing.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "what fails here fails the test; a gate says by the environment that Go is there"
)]

use std::path::Path;
use std::process::Command;

use evenkeel_lint::{Config, FixedFile, Linter, Report, SourceText, Spec, fixed_files};

fn lint(path: &str, text: &str) -> Report {
    let linter = Linter::new(
        Config::new(Spec {
            preview: true,
            ..Spec::default()
        })
        .unwrap(),
    );
    linter.lint_texts(&[SourceText {
        path: path.to_owned(),
        text: text.to_owned(),
    }])
}

fn fixture(name: &str) -> (String, String) {
    let text = std::fs::read_to_string(format!(
        "{}/tests/fixtures/fixes/{name}",
        env!("CARGO_MANIFEST_DIR")
    ))
    .unwrap();
    (format!("pkg/store/{name}"), text)
}

fn fixed(name: &str) -> FixedFile {
    let (path, text) = fixture(name);
    let report = lint(&path, &text);
    let wanted = report.findings.iter().filter(|f| f.fix.is_some()).count();
    let mut files = fixed_files(&report, true, &|_| Some(text.clone()));
    assert_eq!(files.len(), 1);
    let file = files.remove(0);
    assert_eq!(file.fixed, wanted);
    let again = lint(&path, &file.after);
    let broken: Vec<_> = again
        .notices
        .iter()
        .filter(|n| n.kind == "parse-incomplete")
        .collect();
    assert!(broken.is_empty(), "{broken:?}\n{}", file.after);
    let left: Vec<_> = again
        .findings
        .iter()
        .filter(|f| f.fix.is_some())
        .map(|f| (f.code, f.place.line))
        .collect();
    assert!(left.is_empty(), "{left:?}\n{}", file.after);
    file
}

#[test]
fn safe_fixes_never_change_behaviour() {
    for name in ["fixes.go", "fixes.rs"] {
        let (path, text) = fixture(name);
        let report = lint(&path, &text);
        assert!(report.findings.iter().any(|f| f.fix.is_some()));
        let files = fixed_files(&report, false, &|_| Some(text.clone()));
        assert_eq!(
            files,
            [],
            "a fix that changes behaviour was applied unasked"
        );
    }
}

#[test]
fn unsafe_fixes_of_rust_still_compile() {
    let file = fixed("fixes.rs");
    assert_eq!(file.fixed, 2);
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("before.rs", &file.before), ("after.rs", &file.after)] {
        std::fs::write(folder.path().join(name), text).unwrap();
        let output = Command::new("rustc")
            .args([
                "--crate-type",
                "lib",
                "--edition",
                "2024",
                "--emit",
                "metadata",
                name,
            ])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn unsafe_fixes_of_go_still_pass_vet() {
    let file = fixed("fixes.go");
    assert_eq!(file.fixed, 6);
    if Command::new("go").arg("version").output().is_err() {
        assert!(
            std::env::var_os("EVENKEEL_GO_REQUIRED").is_none(),
            "go is required here and not on the path"
        );
        println!("go is not installed: the fixed file was parsed but not vetted");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("before", &file.before), ("after", &file.after)] {
        vet(&folder.path().join(name), text);
    }
}

fn vet(folder: &Path, text: &str) {
    std::fs::create_dir(folder).unwrap();
    std::fs::write(folder.join("go.mod"), "module fixes\n\ngo 1.22\n").unwrap();
    std::fs::write(folder.join("fixes.go"), text).unwrap();
    let output = Command::new("go")
        .args(["vet", "./..."])
        .env("GOFLAGS", "-mod=mod")
        .env("GOTOOLCHAIN", "local")
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}\n{text}",
        String::from_utf8_lossy(&output.stderr)
    );
}
