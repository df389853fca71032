//! `evenkeel lint`: Go and Rust source in, findings out.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Args, ValueEnum};
use evenkeel_lint::{
    Baseline, Config, Format, Linter, Report, SourceText, Spec, Standing, checklist, fixed_files,
    render, rules, serve, statistics, with_suppressions,
};

use crate::exit::Exit;
use crate::replace::replace_file;

/// Find the loop nobody bounded: retries, locks, contexts, clients, tasks and queues in Go and Rust.
///
/// Findings go to stdout, notices to stderr. `evenkeel lint rule EK101` prints a rule's page.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel lint
  evenkeel lint --select EK1,EK301 --output-format sarif ./services > findings.sarif
  evenkeel lint --since origin/main
  evenkeel lint rule EK101
  cat loader.go | evenkeel lint - --stdin-filename loader.go

Exit codes: 0 nothing found; 1 findings; 2 wrong usage or configuration; 70 a rule crashed.")]
pub(crate) struct Lint {
    /// Files and directories, `.` when none is given; `-` is stdin; `rule CODE` explains a rule.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Codes, prefixes or names of the rules that run, instead of the default ones.
    #[arg(long, value_delimiter = ',', value_name = "RULES")]
    select: Vec<String>,
    /// Rules that run in addition.
    #[arg(long, value_delimiter = ',', value_name = "RULES")]
    extend_select: Vec<String>,
    /// Rules that do not run.
    #[arg(long, value_delimiter = ',', value_name = "RULES")]
    ignore: Vec<String>,
    /// Run preview rules too.
    #[arg(long)]
    preview: bool,
    /// Lint tests, benchmarks and examples too.
    #[arg(long)]
    tests: bool,
    /// How findings are written.
    #[arg(long, value_enum, default_value = "full", visible_alias = "format")]
    output_format: OutputFormat,
    /// The same as `--output-format json`.
    #[arg(long)]
    json: bool,
    /// Configuration file, instead of the nearest `evenkeel-lint.toml`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Name that stdin's text goes by; its extension decides the language.
    #[arg(long, value_name = "NAME")]
    stdin_filename: Option<String>,
    /// Apply fixes that do not change behaviour.
    #[arg(long)]
    fix: bool,
    /// With --fix or --diff, also those that do. Implies --fix without --diff.
    #[arg(long)]
    unsafe_fixes: bool,
    /// Print what the fixes would change, and change nothing.
    #[arg(long)]
    diff: bool,
    /// Known findings that do not count. Written when the file does not exist.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Write a suppression comment above every finding, its reason to be filled in.
    #[arg(long)]
    add_ignore: bool,
    /// Report only what is on lines changed since this git revision.
    #[arg(long, value_name = "REV")]
    since: Option<String>,
    /// Count findings per rule instead of listing them.
    #[arg(long)]
    statistics: bool,
    /// Answer six questions about every retry loop, for a review.
    #[arg(long)]
    checklist: bool,
    /// With `rule`: every rule.
    #[arg(long)]
    all: bool,
    /// Exit with 0 even if there are findings.
    #[arg(long)]
    exit_zero: bool,
    /// Worker threads; one per core when absent.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Serve an editor over stdin and stdout.
    #[arg(long)]
    lsp: bool,
}

/// [`Format`], for the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OutputFormat {
    Full,
    Concise,
    Json,
    JsonLines,
    Sarif,
    Github,
    Gitlab,
    Junit,
}

impl From<OutputFormat> for Format {
    fn from(format: OutputFormat) -> Format {
        match format {
            OutputFormat::Full => Format::Full,
            OutputFormat::Concise => Format::Concise,
            OutputFormat::Json => Format::Json,
            OutputFormat::JsonLines => Format::JsonLines,
            OutputFormat::Sarif => Format::Sarif,
            OutputFormat::Github => Format::Github,
            OutputFormat::Gitlab => Format::Gitlab,
            OutputFormat::Junit => Format::Junit,
        }
    }
}

pub(crate) fn run(verb: &Lint) -> Exit {
    if verb.paths.first().is_some_and(|p| p == Path::new("rule")) {
        return explain(verb);
    }
    match lint(verb) {
        Ok(exit) => exit,
        Err(message) => {
            let _ = writeln!(anstream::stderr(), "error: {message}");
            Exit::Usage
        }
    }
}

/// What is said when a run cannot start, or a file cannot be changed.
type Complaint = String;

fn lint(verb: &Lint) -> Result<Exit, Complaint> {
    let linter = Linter::new(config(verb)?);
    if verb.lsp {
        return serve_editor(&linter);
    }
    let stdin = verb.paths.iter().any(|p| p == Path::new("-"));
    let mut report = if stdin {
        from_stdin(verb, &linter)?
    } else {
        from_paths(verb, &linter)?
    };
    if let Some(revision) = &verb.since {
        let changed = changed_lines(revision)?;
        report
            .findings
            .retain(|f| changed.contains(&(absolute(&f.place.path), f.place.line)));
    }
    if let Some(path) = &verb.baseline {
        apply_baseline(path, &mut report)?;
    }
    if verb.add_ignore {
        return add_ignores(&report);
    }
    let changes = verb.fix || verb.unsafe_fixes || verb.diff;
    if changes {
        let fixed = fix(verb, &report, stdin)?;
        if stdin || verb.diff {
            return Ok(if fixed == 0 || verb.exit_zero {
                Exit::Ok
            } else {
                Exit::Failed
            });
        }
        // What is left is judged anew: lines have moved.
        report = from_paths(verb, &linter)?;
    }
    write_report(verb, &report);
    Ok(if !report.crashes.is_empty() {
        Exit::Internal
    } else if report.findings.is_empty() || verb.exit_zero {
        Exit::Ok
    } else {
        Exit::Failed
    })
}

fn config(verb: &Lint) -> Result<Config, Complaint> {
    let file = match &verb.config {
        Some(file) => Some(file.clone()),
        None => {
            let start = verb
                .paths
                .first()
                .filter(|p| p.exists())
                .map_or_else(|| PathBuf::from("."), Clone::clone);
            let start = start
                .canonicalize()
                .map_err(|e| format!("cannot read {}: {e}", start.display()))?;
            Config::find(&start)
        }
    };
    let mut spec = match file {
        Some(file) => Config::read(&file).map_err(|e| e.to_string())?,
        None => Spec::default(),
    };
    if !verb.select.is_empty() {
        spec.select = Some(verb.select.clone());
    }
    spec.extend_select
        .extend(verb.extend_select.iter().cloned());
    spec.ignore.extend(verb.ignore.iter().cloned());
    spec.preview |= verb.preview;
    spec.tests |= verb.tests;
    let mut config = Config::new(spec).map_err(|e| e.to_string())?;
    config.threads = verb.threads;
    config.checklist = verb.checklist;
    Ok(config)
}

fn from_paths(verb: &Lint, linter: &Linter) -> Result<Report, Complaint> {
    let paths = if verb.paths.is_empty() {
        vec![PathBuf::from(".")]
    } else {
        verb.paths.clone()
    };
    linter
        .lint_paths(&paths)
        .map_err(|error| match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        })
}

fn from_stdin(verb: &Lint, linter: &Linter) -> Result<Report, Complaint> {
    let Some(name) = &verb.stdin_filename else {
        return Err(
            "stdin needs a name whose extension is .go or .rs: add --stdin-filename NAME"
                .to_owned(),
        );
    };
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|e| format!("cannot read stdin: {e}"))?;
    Ok(linter.lint_texts(&[SourceText {
        path: name.clone(),
        text,
    }]))
}

fn serve_editor(linter: &Linter) -> Result<Exit, Complaint> {
    let (connection, threads) = lsp_server::Connection::stdio();
    serve(&connection, linter).map_err(|e| format!("the editor's session broke: {e}"))?;
    // The writer ends when its channel does.
    drop(connection);
    threads
        .join()
        .map_err(|e| format!("the editor's session broke: {e}"))?;
    Ok(Exit::Ok)
}

fn write_report(verb: &Lint, report: &Report) {
    let mut out = anstream::stdout();
    let mut err = anstream::stderr();
    let format = if verb.json {
        Format::Json
    } else {
        verb.output_format.into()
    };
    // A reader that went away wants no more.
    let _ = if verb.checklist && format == Format::Full {
        write!(out, "{}", checklist(report))
    } else if verb.statistics {
        write!(out, "{}", statistics(report))
    } else {
        write!(out, "{}", render(report, format, true, &read))
    };
    for notice in &report.notices {
        let _ = writeln!(
            err,
            "note: {}:{}: {} ({})",
            notice.path, notice.line, notice.message, notice.kind
        );
    }
    for crash in &report.crashes {
        let _ = writeln!(
            err,
            "error: rule {} crashed on {}: {}",
            crash.code, crash.path, crash.message
        );
    }
    if format == Format::Full && !verb.checklist {
        let _ = writeln!(
            err,
            "{} findings in {} files",
            report.findings.len(),
            report.files
        );
    }
}

fn read(path: &str) -> Option<String> {
    std::fs::read(path)
        .ok()
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn apply_baseline(path: &Path, report: &mut Report) -> Result<(), Complaint> {
    match Baseline::read(path)? {
        Some(baseline) => {
            baseline.apply(report);
        }
        None => {
            let baseline = Baseline::of(report);
            replace_file(path, &baseline.text())
                .map_err(|e| format!("cannot write {}: {e}", path.display()))?;
            baseline.apply(report);
        }
    }
    Ok(())
}

fn fix(verb: &Lint, report: &Report, stdin: bool) -> Result<usize, Complaint> {
    let files = fixed_files(report, verb.unsafe_fixes, &read);
    let mut out = anstream::stdout();
    for file in &files {
        if verb.diff || stdin {
            let _ = write!(out, "{}", file.diff());
        } else {
            replace_file(Path::new(&file.path), &file.after)
                .map_err(|e| format!("cannot write {}: {e}", file.path))?;
        }
    }
    Ok(files.iter().map(|f| f.fixed).sum())
}

fn add_ignores(report: &Report) -> Result<Exit, Complaint> {
    let paths: BTreeSet<&str> = report
        .findings
        .iter()
        .map(|f| f.place.path.as_str())
        .collect();
    for path in paths {
        let findings: Vec<_> = report
            .findings
            .iter()
            .filter(|f| f.place.path == path)
            .collect();
        let text = read(path).ok_or_else(|| format!("cannot read {path}"))?;
        replace_file(Path::new(path), &with_suppressions(&text, &findings))
            .map_err(|e| format!("cannot write {path}: {e}"))?;
    }
    Ok(Exit::Ok)
}

fn absolute(path: &str) -> PathBuf {
    Path::new(path)
        .canonicalize()
        .unwrap_or_else(|_| PathBuf::from(path))
}

/// Lines of the working tree that are not in `revision`, by git.
fn changed_lines(revision: &str) -> Result<BTreeSet<(PathBuf, u32)>, Complaint> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(arguments)
            .output()
            .map_err(|e| format!("--since needs git: {e}"))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(format!(
                "--since {revision}: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            ))
        }
    };
    let root = PathBuf::from(git(&["rev-parse", "--show-toplevel"])?.trim());
    let diff = git(&[
        "diff",
        "--unified=0",
        "--no-color",
        "--no-ext-diff",
        "--end-of-options",
        revision,
    ])?;
    let mut changed = BTreeSet::new();
    let mut file = PathBuf::new();
    for line in diff.lines() {
        if let Some(path) = line.strip_prefix("+++ b/") {
            file = root.join(path);
        } else if let Some(hunk) = line.strip_prefix("@@ ") {
            // `@@ -a,b +c,d @@`
            let added = hunk
                .split(' ')
                .find_map(|part| part.strip_prefix('+'))
                .unwrap_or("0");
            let (start, count) = added.split_once(',').unwrap_or((added, "1"));
            let (start, count): (u32, u32) =
                (start.parse().unwrap_or(0), count.parse().unwrap_or(0));
            changed.extend(
                (start..start.saturating_add(count))
                    .map(|line| (absolute(&file.to_string_lossy()), line)),
            );
        }
    }
    for path in git(&["ls-files", "--others", "--exclude-standard", "--full-name"])?.lines() {
        let path = root.join(path);
        if let Some(text) = read(&path.to_string_lossy()) {
            changed.extend(
                (1..=text.lines().count()).filter_map(|n| {
                    Some((absolute(&path.to_string_lossy()), u32::try_from(n).ok()?))
                }),
            );
        }
    }
    Ok(changed)
}

/// `evenkeel lint rule EK101`, `evenkeel lint rule --all`.
fn explain(verb: &Lint) -> Exit {
    let mut out = anstream::stdout();
    let wanted: Vec<String> = verb
        .paths
        .iter()
        .skip(1)
        .map(|p| p.to_string_lossy().into_owned())
        .collect();
    let unknown = wanted.iter().find(|w| {
        !rules()
            .iter()
            .any(|r| r.code == w.as_str() || r.name == w.as_str())
    });
    if let Some(unknown) = unknown {
        let _ = writeln!(
            anstream::stderr(),
            "error: there is no rule `{unknown}`; `evenkeel lint rule --all` prints every one"
        );
        return Exit::Usage;
    }
    if wanted.is_empty() && !verb.all {
        let _ = writeln!(
            anstream::stderr(),
            "error: which rule? `evenkeel lint rule EK101`, or `--all`"
        );
        return Exit::Usage;
    }
    let chosen = rules()
        .iter()
        .filter(|r| verb.all || wanted.iter().any(|w| w == r.code || w == r.name));
    if verb.json || verb.output_format == OutputFormat::Json {
        let pages: Vec<_> = chosen
            .map(|r| {
                serde_json::json!({
                    "code": r.code, "name": r.name, "group": r.group(), "level": r.level, "standing": r.standing,
                    "summary": r.summary, "page": r.page.trim(),
                })
            })
            .collect();
        let _ = writeln!(out, "{}", serde_json::Value::from(pages));
        return Exit::Ok;
    }
    for rule in chosen {
        let standing = match rule.standing {
            Standing::Default => "on by default",
            Standing::OptIn => "runs when selected",
            Standing::Preview => "preview: runs with --preview",
        };
        let _ = writeln!(
            out,
            "# {} {}\n\n{}, {}, {standing}\n{}",
            rule.code,
            rule.name,
            rule.group(),
            rule.level.as_str(),
            rule.page
        );
    }
    Exit::Ok
}
