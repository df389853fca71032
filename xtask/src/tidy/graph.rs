//! Who imports whom, from `cargo metadata`: direct edges and everything behind them.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::finding::Finding;
use super::manifest::Manifest;
use super::rules::{CrateRule, FILE, Rules};
use super::source::Tree;
use crate::command;

/// The dependency graph of the workspace, with every feature on.
#[derive(Deserialize)]
pub(crate) struct Graph {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

/// An edge as a Cargo.toml declares it.
#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    target: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<EdgeKind>,
}

#[derive(Deserialize)]
struct EdgeKind {
    kind: Option<String>,
    target: Option<String>,
}

impl Graph {
    /// Asks cargo for the graph of the workspace at `root`.
    ///
    /// # Errors
    /// When cargo cannot resolve the workspace, with what cargo said.
    pub(crate) fn read(root: &Path) -> Result<Graph> {
        let mut metadata = command::cargo(root);
        metadata.args(["metadata", "--format-version", "1", "--all-features"]);
        let output = command::capture(&mut metadata)?;
        ensure!(
            output.status.success(),
            "`{}` failed:\n{}",
            command::line(&metadata),
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).context("cargo metadata printed something else")
    }

    fn package(&self, id: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.id == id)
    }

    fn members(&self) -> impl Iterator<Item = &Package> {
        self.workspace_members
            .iter()
            .filter_map(|id| self.package(id))
    }

    fn is_member(&self, name: &str) -> bool {
        self.members().any(|member| member.name == name)
    }

    /// Every package that `from` is built with (its tests apart), each with the one it came through.
    fn reached<'g>(&'g self, from: &'g Package, rules: &Rules) -> BTreeMap<&'g str, &'g str> {
        let nodes: BTreeMap<&str, &Node> = self
            .resolve
            .nodes
            .iter()
            .map(|node| (node.id.as_str(), node))
            .collect();
        let mut came_through = BTreeMap::new();
        let mut queue = VecDeque::from([from.id.as_str()]);
        while let Some(id) = queue.pop_front() {
            let Some((node, package)) = nodes.get(id).zip(self.package(id)) else {
                continue;
            };
            for edge in &node.deps {
                let Some(to) = self.package(&edge.pkg) else {
                    continue;
                };
                let set_apart = |kind: &EdgeKind| {
                    rules.of_crate(&package.name).is_some_and(|rule| {
                        rule.only_under.iter().any(|only| {
                            only.import == to.name && kind.target.as_deref() == Some(&only.target)
                        })
                    })
                };
                let is_built = edge
                    .dep_kinds
                    .iter()
                    .any(|kind| !is_dev(kind.kind.as_deref()) && !set_apart(kind));
                let is_new = edge.pkg != from.id && !came_through.contains_key(edge.pkg.as_str());
                if is_built && is_new {
                    came_through.insert(edge.pkg.as_str(), id);
                    queue.push_back(edge.pkg.as_str());
                }
            }
        }
        came_through
    }

    /// `a -> b -> c`: how `from` came to reach `to`.
    fn way<'g>(
        &'g self,
        from: &'g Package,
        to: &str,
        came_through: &BTreeMap<&str, &'g str>,
    ) -> Vec<&'g str> {
        let mut way = Vec::new();
        let mut id = to;
        while id != from.id {
            way.extend(self.package(id).map(|package| package.name.as_str()));
            let Some(before) = came_through.get(id) else {
                break;
            };
            id = before;
        }
        way.push(&from.name);
        way.reverse();
        way
    }
}

/// Checks every edge between crates of the workspace, and out of it, against the rules.
pub(crate) fn check(tree: &Tree, graph: &Graph, rules: &Rules, root: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut manifests = Vec::new();
    for member in graph.members() {
        let path = member
            .manifest_path
            .strip_prefix(root)
            .unwrap_or(&member.manifest_path);
        let Some(manifest) = Manifest::of(tree, path) else {
            continue;
        };
        let Some(rule) = rules.of_crate(&member.name) else {
            findings.push(Finding {
                file: manifest.path.to_path_buf(),
                line: manifest.line_of("name"),
                rule: "crate-without-rules",
                what: format!("{} has no [[crate]] entry in {FILE}", member.name),
                why: "a crate earns its place by a rule about who may import whom".to_owned(),
                way_out: format!(
                    "add a [[crate]] entry to {FILE}: what it may import, and why it exists"
                ),
            });
            manifests.push(manifest);
            continue;
        };
        findings.extend(direct_edges(graph, member, rule, &manifest));
        findings.extend(reach(graph, member, rules, &manifest));
        findings.extend(manifest.check(tree));
        manifests.push(manifest);
    }
    let root_manifest = Manifest::of(tree, Path::new("Cargo.toml"));
    findings.extend(
        root_manifest
            .iter()
            .flat_map(|root| root.versions_nobody_asks_for(&manifests)),
    );
    findings
}

fn direct_edges(
    graph: &Graph,
    member: &Package,
    rule: &CrateRule,
    manifest: &Manifest,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut refuse = |name: &str, what: String, way_out: String| {
        findings.push(Finding {
            file: manifest.path.to_path_buf(),
            line: manifest.line_of(name),
            rule: "forbidden-import",
            what,
            why: rule.why.clone(),
            way_out,
        });
    };
    for dependency in &member.dependencies {
        let name = &dependency.name;
        let for_tests = is_dev(dependency.kind.as_deref());
        if graph.is_member(name) {
            let allowed = rule.imports.contains(name)
                || (for_tests && (rule.tests_import.contains(name) || *name == member.name));
            if !allowed {
                let may = if rule.imports.is_empty() {
                    "no crate of the workspace".to_owned()
                } else {
                    rule.imports.join(", ")
                };
                refuse(
                    name,
                    format!("{} imports {name}; it may import {may}", member.name),
                    format!(
                        "move what is needed to where both may see it, or change {FILE} with an ADR"
                    ),
                );
            }
            continue;
        }
        let only_under = rule.only_under.iter().find(|only| only.import == *name);
        match only_under {
            Some(only) if !for_tests && dependency.target.as_ref() != Some(&only.target) => refuse(
                name,
                format!("{} imports {name} outside {}", member.name, only.target),
                format!("declare it under [target.\"{}\".dependencies]", only.target),
            ),
            Some(_) => {}
            None => {
                let outside = rule.outside.as_ref();
                if !for_tests && outside.is_some_and(|allowed| !allowed.contains(name)) {
                    refuse(
                        name,
                        format!(
                            "{} imports {name}, which its rules do not list",
                            member.name
                        ),
                        format!("do without it, or add it to `outside` in {FILE} with an ADR"),
                    );
                }
            }
        }
    }
    findings
}

fn reach(graph: &Graph, member: &Package, rules: &Rules, manifest: &Manifest) -> Vec<Finding> {
    let mut findings = Vec::new();
    let came_through = graph.reached(member, rules);
    for rule in rules
        .never_reaches
        .iter()
        .filter(|rule| rule.from.contains(&member.name))
    {
        for id in came_through.keys() {
            let Some(reached) = graph.package(id) else {
                continue;
            };
            if !rule.to.contains(&reached.name) {
                continue;
            }
            let way = graph.way(member, id, &came_through);
            findings.push(Finding {
                file: manifest.path.to_path_buf(),
                line: way.get(1).map_or(1, |first| manifest.line_of(first)),
                rule: "forbidden-reach",
                what: format!(
                    "{} reaches {}: {}",
                    member.name,
                    reached.name,
                    way.join(" -> ")
                ),
                why: rule.why.clone(),
                way_out: rule.way_out.clone(),
            });
        }
    }
    findings
}

fn is_dev(kind: Option<&str>) -> bool {
    kind == Some("dev")
}
