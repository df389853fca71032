//! Each rule is shown to fail on a small workspace made for it, and to pass on one that keeps it.

use std::fs;

use tempfile::TempDir;

use super::*;

/// A workspace in a folder of its own, which keeps every rule until a test breaks one.
struct Workspace {
    folder: TempDir,
}

impl Workspace {
    /// Core and library, a crate that happens to be called tokio, and the documents tidy reads.
    fn tidy() -> Workspace {
        let workspace = Workspace {
            folder: TempDir::new().expect("a temporary folder"),
        };
        workspace.write("Cargo.toml", MANIFEST);
        workspace.add_crate("evenkeel-core", "");
        workspace.add_crate(
            "evenkeel",
            "evenkeel-core = { path = \"../evenkeel-core\" }\n",
        );
        workspace.add_crate("tokio", "");
        workspace.write("architecture.toml", RULES);
        workspace.write(".ci/nightly.toml", NIGHTLY);
        workspace.write("docs/glossary.md", GLOSSARY);
        workspace.write(
            "docs/adr/README.md",
            "| [0001](0001-first.md) | First | accepted |\n",
        );
        workspace.write("docs/adr/0001-first.md", "# 0001: First\n");
        workspace
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a new folder");
        fs::write(path, text).expect("a written file");
    }

    fn add_crate(&self, name: &str, dependencies: &str) {
        self.write(
            &format!("crates/{name}/Cargo.toml"),
            &format!(
                "[package]\nname = \"{name}\"\nedition = \"2024\"\n\n[lints]\nworkspace = true\n\n\
                 [dependencies]\n{dependencies}"
            ),
        );
        let names: Vec<&str> = dependencies
            .lines()
            .filter_map(|line| line.split(" = ").next())
            .collect();
        let uses: String = names
            .iter()
            .filter(|name| !name.is_empty() && !name.starts_with('['))
            .map(|name| format!("use {} as _;\n", name.replace('-', "_")))
            .collect();
        self.write(
            &format!("crates/{name}/src/lib.rs"),
            &format!("//! Nothing.\n{uses}"),
        );
    }

    fn findings(&self) -> Vec<Finding> {
        let root = self
            .folder
            .path()
            .canonicalize()
            .expect("the folder exists");
        let tree = Tree::read(&root).expect("the workspace is readable");
        check(&root, &tree).expect("the rules can be asked")
    }

    /// The one finding, as `file:line rule`, and what it says.
    fn only_finding(&self) -> (String, Finding) {
        let mut findings = self.findings();
        assert_eq!(findings.len(), 1, "{findings:#?}");
        let finding = findings.remove(0);
        (
            format!(
                "{}:{} {}",
                finding.file.display(),
                finding.line,
                finding.rule
            ),
            finding,
        )
    }
}

const MANIFEST: &str = r#"
[workspace]
resolver = "3"
members = ["crates/*"]
exclude = ["outside", "loom"]

[workspace.lints.rust]
unsafe_code = "forbid"
"#;

const RULES: &str = r#"
longest_file = 20
ordering_files = ["crates/evenkeel-core/src/**/*.rs"]

[[crate]]
name = "evenkeel-core"
imports = []
outside = []
only_under = [{ import = "loom", target = "cfg(evenkeel_loom)" }]
why = "the core depends on nothing"

[[crate]]
name = "evenkeel"
imports = ["evenkeel-core", "tokio"]
why = "the library drives the core"

[[crate]]
name = "tokio"
imports = []
why = "stands in for the real one"

[[never_reaches]]
from = ["evenkeel-core"]
to = ["tokio"]
why = "decisions are pure"
way_out = "take the time as an argument"

[[never_names]]
files = ["crates/evenkeel/src/load*"]
names = ["evenkeel_core"]
why = "a measuring device with policies measures itself"
way_out = "leave policies to what is measured"

[[never_names]]
files = ["crates/**"]
except = ["crates/evenkeel/src/main.rs"]
names = ["println!", "env::var"]
why = "libraries return values"
way_out = "return the text"

[[word_allowed]]
word = "backend"
files = ["crates/evenkeel/src/mesh.rs"]
why = "the mesh's own name"

[[ignored_test]]
name = "a_million_calls"
nightly = "long"
"#;

const NIGHTLY: &str = r#"
[[step]]
name = "long"
proves = "it lasts"
minutes = 1
run = ["true"]
"#;

const GLOSSARY: &str = "\
| word | means | not | refused |
|---|---|---|---|
| dependency | one named thing we call | backend | backend |
| budget | tokens that bound extra load | quota | retry quota |
";

#[test]
fn a_workspace_that_keeps_every_rule_has_no_findings() {
    assert_eq!(Workspace::tidy().findings(), []);
}

#[test]
fn this_checkout_is_read_by_its_own_rules() {
    let tree = Tree::read(&crate::workspace_root()).expect("the checkout is readable");
    let rules = Rules::read(&tree).expect("architecture.toml is valid");
    assert!(
        rules
            .of_crate("evenkeel-core")
            .is_some_and(|rule| rule.imports.is_empty())
    );
    words::check(&tree, &rules).expect("the glossary has its table");
}

#[test]
fn an_import_the_rules_do_not_list_is_refused() {
    let workspace = Workspace::tidy();
    workspace.add_crate("tokio", "evenkeel-core = { path = \"../evenkeel-core\" }\n");
    let (place, finding) = workspace.only_finding();
    assert_eq!(place, "crates/tokio/Cargo.toml:9 forbidden-import");
    assert_eq!(
        finding.what,
        "tokio imports evenkeel-core; it may import no crate of the workspace"
    );
    assert_eq!(finding.why, "stands in for the real one");
}

#[test]
fn a_crate_that_must_not_be_reached_is_found_behind_another() {
    let workspace = Workspace::tidy();
    let rules = RULES.replace(
        "name = \"evenkeel-core\"\nimports = []",
        "name = \"evenkeel-core\"\nimports = [\"between\"]",
    );
    let between = "[[crate]]\nname = \"between\"\nimports = [\"tokio\"]\nwhy = \"between\"\n";
    workspace.write("architecture.toml", &format!("{rules}\n{between}"));
    workspace.add_crate("between", "tokio = { path = \"../tokio\" }\n");
    workspace.add_crate("evenkeel-core", "between = { path = \"../between\" }\n");
    let (place, finding) = workspace.only_finding();
    assert_eq!(place, "crates/evenkeel-core/Cargo.toml:9 forbidden-reach");
    assert_eq!(
        finding.what,
        "evenkeel-core reaches tokio: evenkeel-core -> between -> tokio"
    );
    assert_eq!(finding.way_out, "take the time as an argument");
}

#[test]
fn what_only_tests_reach_is_not_reached() {
    let workspace = Workspace::tidy();
    workspace.write(
        "architecture.toml",
        &RULES.replace(
            "imports = []\noutside = []",
            "imports = []\ntests_import = [\"tokio\"]\noutside = []",
        ),
    );
    workspace.add_crate(
        "evenkeel-core",
        "\n[dev-dependencies]\ntokio = { path = \"../tokio\" }\n",
    );
    assert_eq!(workspace.findings(), []);
}

#[test]
fn an_import_from_outside_that_is_not_listed_is_refused() {
    let workspace = Workspace::tidy();
    workspace.write("outside/src/lib.rs", "//! Nothing.\n");
    workspace.write(
        "outside/Cargo.toml",
        "[package]\nname = \"outside\"\n[workspace]\n",
    );
    workspace.add_crate("evenkeel-core", "outside = { path = \"../../outside\" }\n");
    let (place, finding) = workspace.only_finding();
    assert_eq!(place, "crates/evenkeel-core/Cargo.toml:9 forbidden-import");
    assert_eq!(
        finding.what,
        "evenkeel-core imports outside, which its rules do not list"
    );
}

#[test]
fn an_import_that_belongs_under_one_condition_is_refused_without_it() {
    let workspace = Workspace::tidy();
    workspace.write("loom/src/lib.rs", "//! Nothing.\n");
    workspace.write(
        "loom/Cargo.toml",
        "[package]\nname = \"loom\"\n[workspace]\n",
    );
    let import = "loom = { path = \"../../loom\" }\n";
    workspace.add_crate("evenkeel-core", import);
    let (_, finding) = workspace.only_finding();
    assert_eq!(
        finding.what,
        "evenkeel-core imports loom outside cfg(evenkeel_loom)"
    );

    let target = format!("\n[target.\"cfg(evenkeel_loom)\".dependencies]\n{import}");
    workspace.add_crate("evenkeel-core", &target);
    assert_eq!(workspace.findings(), []);
}

#[test]
fn a_crate_without_rules_is_refused() {
    let workspace = Workspace::tidy();
    workspace.add_crate("evenkeel-common", "");
    let (place, finding) = workspace.only_finding();
    assert_eq!(
        place,
        "crates/evenkeel-common/Cargo.toml:2 crate-without-rules"
    );
    assert!(
        finding
            .what
            .contains("evenkeel-common has no [[crate]] entry"),
        "{}",
        finding.what
    );
}

#[test]
fn a_crate_that_does_not_inherit_the_lints_is_refused() {
    let workspace = Workspace::tidy();
    workspace.write("crates/tokio/Cargo.toml", "[package]\nname = \"tokio\"\n");
    assert_eq!(
        workspace.only_finding().0,
        "crates/tokio/Cargo.toml:1 lints-not-inherited"
    );
}

#[test]
fn a_version_outside_the_root_manifest_is_refused() {
    let workspace = Workspace::tidy();
    let import = "evenkeel-core = { path = \"../evenkeel-core\", version = \"0.0.0\" }\n";
    workspace.add_crate("evenkeel", import);
    assert_eq!(
        workspace.only_finding().0,
        "crates/evenkeel/Cargo.toml:9 version-outside-root"
    );
}

#[test]
fn an_import_that_nothing_names_is_refused() {
    let workspace = Workspace::tidy();
    workspace.write(
        "crates/evenkeel/src/lib.rs",
        "//! Speaks of evenkeel_core, uses nothing.\n",
    );
    let (place, finding) = workspace.only_finding();
    assert_eq!(place, "crates/evenkeel/Cargo.toml:9 unused-import");
    assert_eq!(finding.what, "nothing in this crate names evenkeel_core");
}

#[test]
fn a_version_that_no_crate_asks_for_is_refused() {
    let workspace = Workspace::tidy();
    let dependencies = "[workspace.dependencies]\nevenkeel = { path = \"crates/evenkeel\" }\n";
    workspace.write("Cargo.toml", &format!("{MANIFEST}\n{dependencies}"));
    let (place, finding) = workspace.only_finding();
    assert_eq!(place, "Cargo.toml:11 unused-import");
    assert_eq!(finding.what, "no crate of the workspace asks for evenkeel");
}

#[test]
fn the_load_generator_must_not_name_the_policies() {
    let workspace = Workspace::tidy();
    workspace.write(
        "crates/evenkeel/src/load_shape.rs",
        "//! Load.\n\nuse evenkeel_core as core;\n",
    );
    let (place, finding) = workspace.only_finding();
    assert_eq!(place, "crates/evenkeel/src/load_shape.rs:3 forbidden-name");
    assert_eq!(finding.what, "`evenkeel_core` is named here");
}

#[test]
fn a_forbidden_name_counts_in_code_and_nowhere_else() {
    let workspace = Workspace::tidy();
    let quiet = "//! Says println! and env::var in words.\nconst TEXT: &str = \"println!\";\n\
                 #[cfg(test)]\nmod tests {\n    fn talk() {\n        println!(\"{}\", super::TEXT);\n    }\n}\n";
    workspace.write("crates/evenkeel/src/quiet.rs", quiet);
    workspace.write(
        "crates/evenkeel/src/main.rs",
        "fn main() {\n    println!(\"hello\");\n}\n",
    );
    assert_eq!(workspace.findings(), []);

    workspace.write(
        "crates/evenkeel/src/loud.rs",
        "fn loud() {\n    std::env::var(\"HOME\");\n}\n",
    );
    assert_eq!(
        workspace.only_finding().0,
        "crates/evenkeel/src/loud.rs:2 forbidden-name"
    );
}

#[test]
fn a_long_file_is_refused_and_its_tests_are_not_counted() {
    let workspace = Workspace::tidy();
    let line = "const _: () = ();\n";
    let path = "crates/evenkeel/src/long.rs";
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", line.repeat(30));
    workspace.write(path, &format!("{}{tests}", line.repeat(20)));
    assert_eq!(workspace.findings(), []);

    workspace.write(path, &format!("{}{tests}", line.repeat(21)));
    let (place, finding) = workspace.only_finding();
    assert_eq!(place, "crates/evenkeel/src/long.rs:21 long-file");
    assert_eq!(finding.what, "21 lines without tests; 20 is the bound");

    let reason = "// tidy: long because it is one table of constants\n";
    workspace.write(path, &format!("{reason}{}", line.repeat(30)));
    assert_eq!(workspace.findings(), []);

    workspace.write(
        path,
        &format!("// tidy: long because so\n{}", line.repeat(30)),
    );
    assert_eq!(workspace.only_finding().1.rule, "long-file");
}

#[test]
fn a_test_only_field_does_not_hide_what_follows_its_struct() {
    let workspace = Workspace::tidy();
    let code = "struct A {\n    #[cfg(test)]\n    b: u8,\n}\nfn loud() {\n    println!();\n}\n";
    workspace.write("crates/evenkeel/src/field.rs", code);
    assert_eq!(
        workspace.only_finding().0,
        "crates/evenkeel/src/field.rs:6 forbidden-name"
    );
}

#[test]
fn a_test_module_in_its_own_file_is_test_code() {
    let workspace = Workspace::tidy();
    workspace.write(
        "crates/evenkeel/src/lib.rs",
        "//! Nothing.\nuse evenkeel_core as _;\n\n#[cfg(test)]\nmod fixtures;\n",
    );
    workspace.write(
        "crates/evenkeel/src/fixtures.rs",
        &"const _: () = ();\n".repeat(50),
    );
    assert_eq!(workspace.findings(), []);
}

#[test]
fn left_overs_are_refused() {
    let workspace = Workspace::tidy();
    let lines = [
        "fn a() {",
        "    todo!()",
        "}",
        "// FIXME later",
        "fn b() { dbg!(1); }",
    ];
    workspace.write("crates/evenkeel/src/half.rs", &lines.join("\n"));
    let found: Vec<(usize, &str)> = workspace
        .findings()
        .iter()
        .map(|finding| (finding.line, finding.rule))
        .collect();
    assert_eq!(
        found,
        [(2, "left-over"), (4, "left-over"), (5, "left-over")]
    );
}

#[test]
fn an_ignored_test_needs_a_gate_that_runs_it() {
    let workspace = Workspace::tidy();
    let path = "crates/evenkeel/tests/long.rs";
    workspace.write(
        path,
        "#[test]\n#[ignore = \"a minute\"]\nfn a_million_calls() {}\n",
    );
    assert_eq!(workspace.findings(), []);

    workspace.write(
        path,
        "#[test]\n#[ignore = \"a minute\"]\nfn a_billion_calls() {}\n",
    );
    let (place, finding) = workspace.only_finding();
    assert_eq!(place, "crates/evenkeel/tests/long.rs:2 ignored-test");
    assert_eq!(finding.what, "the test `a_billion_calls` is ignored");

    workspace.write(path, "//! ```rust,ignore\n//! never();\n//! ```\n");
    assert_eq!(
        workspace.only_finding().0,
        "crates/evenkeel/tests/long.rs:1 ignored-test"
    );
}

#[test]
fn a_path_of_one_machine_is_refused_and_a_url_is_not() {
    let workspace = Workspace::tidy();
    workspace.write(
        "docs/how.md",
        "see http://localhost/home/ and `target/work/x`\n",
    );
    assert_eq!(workspace.findings(), []);

    workspace.write("docs/how.md", &format!("see\n`/{}/someone`\n", "home"));
    assert_eq!(workspace.only_finding().0, "docs/how.md:2 foreign-place");
}

#[test]
fn an_issue_by_number_is_refused_and_a_peers_is_not() {
    let workspace = Workspace::tidy();
    workspace.write(
        "docs/why.md",
        "as resilience4j#903 shows; an issue of 12 users\n",
    );
    assert_eq!(workspace.findings(), []);

    workspace.write(
        "docs/why.md",
        &format!("decided in issue #{}, see there\n", 12),
    );
    let (place, finding) = workspace.only_finding();
    assert_eq!(place, "docs/why.md:1 foreign-place");
    assert_eq!(finding.what, format!("issue {} is named by its number", 12));
}

#[test]
fn a_refused_word_is_found_in_identifiers_comments_literals_and_documents() {
    let workspace = Workspace::tidy();
    let lines = [
        "struct RetryQuota;",
        "// Two backends.",
        "const A: &str = \"retry-quota\";",
    ];
    workspace.write("crates/evenkeel/src/words.rs", &lines.join("\n"));
    workspace.write("docs/words.md", "Our retry\nquota of backend-calls.\n");
    let findings = workspace.findings();
    let found: Vec<String> = findings
        .iter()
        .map(|finding| format!("{}:{}", finding.file.display(), finding.line))
        .collect();
    let words = "crates/evenkeel/src/words.rs";
    let expected = [
        format!("{words}:1"),
        format!("{words}:2"),
        format!("{words}:3"),
        "docs/words.md:2".into(),
    ];
    assert_eq!(found, expected);
    assert_eq!(
        findings[0].what,
        "\"retry quota\": the word here is \"budget\""
    );
}

#[test]
fn a_refused_word_passes_where_the_rules_allow_it_and_inside_longer_words() {
    let workspace = Workspace::tidy();
    workspace.write("crates/evenkeel/src/mesh.rs", "struct BackendRef;\n");
    workspace.write("docs/words.md", "A quota. Retry; quota. Backended.\n");
    assert_eq!(workspace.findings(), []);
}

#[test]
fn an_ordering_without_its_partner_is_refused() {
    let workspace = Workspace::tidy();
    let path = "crates/evenkeel-core/src/word.rs";
    let code = "use Ordering::{Acquire, Relaxed};\nfn f(w: &W) {\n    w.load(Relaxed);\n    w.load(Acquire);\n}\n";
    workspace.write(path, code);
    let (place, finding) = workspace.only_finding();
    assert_eq!(
        place,
        "crates/evenkeel-core/src/word.rs:4 ordering-without-partner"
    );
    assert_eq!(finding.what, "`Acquire` does not say what it pairs with");

    let named = "    // Published by finish; pairs\n    // with the Release in `finish`.\n    w.load(Acquire);";
    workspace.write(path, &code.replace("    w.load(Acquire);", named));
    assert_eq!(workspace.findings(), []);
}

#[test]
fn a_record_missing_from_the_index_is_refused() {
    let workspace = Workspace::tidy();
    workspace.write("docs/adr/0002-second.md", "# 0002: Second\n");
    assert_eq!(
        workspace.only_finding().0,
        "docs/adr/0002-second.md:1 unlisted-record"
    );

    workspace.write(
        "docs/adr/README.md",
        "[1](0001-first.md) [2](0002-second.md#why)\n",
    );
    assert_eq!(workspace.findings(), []);
}

#[test]
fn a_link_that_leads_nowhere_is_refused() {
    let workspace = Workspace::tidy();
    workspace.write(
        "README.md",
        "[core](crates/evenkeel-core) [web](https://example.org)\n",
    );
    workspace.write(
        "docs/more.md",
        "[up](../README.md#map) [here](#there) [words](glossary.md)\n",
    );
    assert_eq!(workspace.findings(), []);

    workspace.write("docs/more.md", "\n[up](../READYOU.md)\n");
    let (place, finding) = workspace.only_finding();
    assert_eq!(place, "docs/more.md:2 dead-link");
    assert_eq!(finding.what, "READYOU.md does not exist");
}

#[test]
fn a_rule_with_a_misspelt_key_does_not_parse() {
    let workspace = Workspace::tidy();
    workspace.write(
        "architecture.toml",
        &RULES.replace("never_names", "never_named"),
    );
    let root = workspace
        .folder
        .path()
        .canonicalize()
        .expect("the folder exists");
    let tree = Tree::read(&root).expect("the workspace is readable");
    let error = format!("{:#}", check(&root, &tree).expect_err("the key is unknown"));
    assert!(
        error.contains("architecture.toml") && error.contains("never_named"),
        "{error}"
    );
}

#[test]
fn a_finding_says_where_why_and_the_way_out() {
    let workspace = Workspace::tidy();
    workspace.write(
        "crates/evenkeel/src/loud.rs",
        "fn loud() {\n    println!();\n}\n",
    );
    let (_, finding) = workspace.only_finding();
    assert_eq!(
        finding.to_string(),
        "crates/evenkeel/src/loud.rs:2: [forbidden-name] `println!` is named here\n    \
         why:     libraries return values\n    \
         way out: return the text"
    );
}
