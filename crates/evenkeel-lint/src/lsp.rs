//! The linter inside an editor, over the language server protocol.
//!
//! A document is linted when it is opened, changed or saved, together with the other files of its
//! directory, so that helpers are looked through as on the command line; unsaved text wins over the
//! disk. Fixes are offered as quick fixes. `source.fixAll` and the edits before saving hold only fixes
//! that do not change behaviour.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lsp_server::{Connection, Message, Notification, Request, Response};
use lsp_types::notification::{
    DidChangeTextDocument, DidCloseTextDocument, DidOpenTextDocument, DidSaveTextDocument,
    Notification as _, PublishDiagnostics,
};
use lsp_types::request::{CodeActionRequest, Request as _, WillSaveWaitUntil};
use lsp_types::{
    CodeAction, CodeActionKind, CodeActionOptions, CodeActionParams, CodeActionProviderCapability,
    Diagnostic, DiagnosticRelatedInformation, DiagnosticSeverity, DidChangeTextDocumentParams,
    DidCloseTextDocumentParams, DidOpenTextDocumentParams, DidSaveTextDocumentParams, Location,
    NumberOrString, Position, PublishDiagnosticsParams, Range, SaveOptions, ServerCapabilities,
    TextDocumentSyncCapability, TextDocumentSyncKind, TextDocumentSyncOptions,
    TextDocumentSyncSaveOptions, TextEdit, Uri, WillSaveTextDocumentParams, WorkspaceEdit,
};

use crate::engine::{Linter, SourceText};
use crate::finding::{Finding, Level, Place};
use crate::source::Language;

/// Serves one editor until it asks to end.
///
/// # Errors
///
/// When the connection breaks or the editor does not speak the protocol.
pub fn serve(
    connection: &Connection,
    linter: &Linter,
) -> Result<(), Box<dyn std::error::Error + Sync + Send>> {
    let capabilities = ServerCapabilities {
        text_document_sync: Some(TextDocumentSyncCapability::Options(
            TextDocumentSyncOptions {
                open_close: Some(true),
                change: Some(TextDocumentSyncKind::FULL),
                will_save_wait_until: Some(true),
                save: Some(TextDocumentSyncSaveOptions::SaveOptions(SaveOptions {
                    include_text: Some(false),
                })),
                ..TextDocumentSyncOptions::default()
            },
        )),
        code_action_provider: Some(CodeActionProviderCapability::Options(CodeActionOptions {
            code_action_kinds: Some(vec![
                CodeActionKind::QUICKFIX,
                CodeActionKind::SOURCE_FIX_ALL,
            ]),
            ..CodeActionOptions::default()
        })),
        ..ServerCapabilities::default()
    };
    connection.initialize(serde_json::to_value(capabilities)?)?;
    let mut session = Session {
        connection,
        linter,
        open: BTreeMap::new(),
    };
    for message in &connection.receiver {
        match message {
            Message::Request(request) => {
                if connection.handle_shutdown(&request)? {
                    return Ok(());
                }
                session.request(request)?;
            }
            Message::Notification(notification) => session.notification(notification)?,
            Message::Response(_) => {}
        }
    }
    Ok(())
}

type Answer = Result<(), Box<dyn std::error::Error + Sync + Send>>;

struct Session<'s> {
    connection: &'s Connection,
    linter: &'s Linter,
    /// Unsaved texts by URI.
    open: BTreeMap<String, String>,
}

impl Session<'_> {
    fn notification(&mut self, notification: Notification) -> Answer {
        match notification.method.as_str() {
            DidOpenTextDocument::METHOD => {
                let params: DidOpenTextDocumentParams =
                    serde_json::from_value(notification.params)?;
                self.open.insert(
                    params.text_document.uri.as_str().to_owned(),
                    params.text_document.text,
                );
                self.publish(&params.text_document.uri)
            }
            DidChangeTextDocument::METHOD => {
                let params: DidChangeTextDocumentParams =
                    serde_json::from_value(notification.params)?;
                if let Some(change) = params.content_changes.into_iter().next_back() {
                    self.open
                        .insert(params.text_document.uri.as_str().to_owned(), change.text);
                }
                self.publish(&params.text_document.uri)
            }
            DidSaveTextDocument::METHOD => {
                let params: DidSaveTextDocumentParams =
                    serde_json::from_value(notification.params)?;
                self.publish(&params.text_document.uri)
            }
            DidCloseTextDocument::METHOD => {
                let params: DidCloseTextDocumentParams =
                    serde_json::from_value(notification.params)?;
                self.open.remove(params.text_document.uri.as_str());
                self.send_diagnostics(&params.text_document.uri, Vec::new())
            }
            _ => Ok(()),
        }
    }

    fn request(&mut self, request: Request) -> Answer {
        let response = match request.method.as_str() {
            CodeActionRequest::METHOD => {
                let params: CodeActionParams = serde_json::from_value(request.params)?;
                Response::new_ok(request.id, self.actions(&params))
            }
            WillSaveWaitUntil::METHOD => {
                let params: WillSaveTextDocumentParams = serde_json::from_value(request.params)?;
                let uri = &params.text_document.uri;
                let findings = self.findings(uri);
                let edits: Vec<TextEdit> = findings
                    .iter()
                    .filter(|f| f.fix.as_ref().is_some_and(|x| !x.changes_behaviour))
                    .flat_map(|f| self.edits(uri, f))
                    .collect();
                Response::new_ok(request.id, edits)
            }
            other => Response::new_err(
                request.id,
                lsp_server::ErrorCode::MethodNotFound as i32,
                format!("{other} is not served"),
            ),
        };
        Ok(self.connection.sender.send(Message::Response(response))?)
    }

    fn publish(&self, uri: &Uri) -> Answer {
        let diagnostics = self
            .findings(uri)
            .iter()
            .map(|finding| self.diagnostic(uri, finding))
            .collect();
        self.send_diagnostics(uri, diagnostics)
    }

    fn send_diagnostics(&self, uri: &Uri, diagnostics: Vec<Diagnostic>) -> Answer {
        let params = PublishDiagnosticsParams {
            uri: uri.clone(),
            diagnostics,
            version: None,
        };
        let notification = Notification::new(PublishDiagnostics::METHOD.to_owned(), params);
        Ok(self
            .connection
            .sender
            .send(Message::Notification(notification))?)
    }

    /// Findings in one document, its directory linted with it.
    fn findings(&self, uri: &Uri) -> Vec<Finding> {
        let path = path_of(uri);
        let Some(language) = Language::of(&path) else {
            return Vec::new();
        };
        let mut texts = vec![SourceText {
            path: path.to_string_lossy().into_owned(),
            text: self.text(uri, &path),
        }];
        let siblings = path.parent().and_then(|p| std::fs::read_dir(p).ok());
        for entry in siblings.into_iter().flatten().flatten() {
            let sibling = entry.path();
            if sibling == path || Language::of(&sibling) != Some(language) {
                continue;
            }
            let held = self
                .open
                .iter()
                .find(|(uri, _)| {
                    percent_decoded(uri.trim_start_matches("file://")) == sibling.to_string_lossy()
                })
                .map(|(_, t)| t.clone());
            if let Some(text) = held.or_else(|| std::fs::read_to_string(&sibling).ok()) {
                texts.push(SourceText {
                    path: sibling.to_string_lossy().into_owned(),
                    text,
                });
            }
        }
        let wanted = path.to_string_lossy().into_owned();
        self.linter
            .lint_texts(&texts)
            .findings
            .into_iter()
            .filter(|f| f.place.path == wanted)
            .collect()
    }

    fn text(&self, uri: &Uri, path: &Path) -> String {
        self.open
            .get(uri.as_str())
            .cloned()
            .or_else(|| std::fs::read_to_string(path).ok())
            .unwrap_or_default()
    }

    fn diagnostic(&self, uri: &Uri, finding: &Finding) -> Diagnostic {
        let text = self.text(uri, &path_of(uri));
        let related = finding
            .related
            .iter()
            .filter(|r| r.place.path == finding.place.path)
            .map(|r| DiagnosticRelatedInformation {
                location: Location {
                    uri: uri.clone(),
                    range: range(&text, &r.place),
                },
                message: r.label.clone(),
            })
            .collect();
        Diagnostic {
            range: range(&text, &finding.place),
            severity: Some(match finding.level {
                Level::Note => DiagnosticSeverity::INFORMATION,
                Level::Warning => DiagnosticSeverity::WARNING,
                Level::Error => DiagnosticSeverity::ERROR,
            }),
            code: Some(NumberOrString::String(finding.code.to_owned())),
            source: Some("evenkeel".to_owned()),
            message: format!("{}\n{}", finding.message, finding.help),
            related_information: Some(related),
            ..Diagnostic::default()
        }
    }

    fn edits(&self, uri: &Uri, finding: &Finding) -> Vec<TextEdit> {
        let text = self.text(uri, &path_of(uri));
        let Some(fix) = &finding.fix else {
            return Vec::new();
        };
        fix.edits
            .iter()
            .map(|edit| TextEdit {
                range: Range {
                    start: position(&text, edit.bytes.start),
                    end: position(&text, edit.bytes.end),
                },
                new_text: edit.replacement.clone(),
            })
            .collect()
    }

    fn actions(&self, params: &CodeActionParams) -> Vec<CodeAction> {
        let uri = &params.text_document.uri;
        let text = self.text(uri, &path_of(uri));
        let only = params.context.only.as_deref();
        let wants = |kind: &CodeActionKind| {
            only.is_none_or(|only| only.iter().any(|k| kind.as_str().starts_with(k.as_str())))
        };
        let mut actions = Vec::new();
        let mut safe = Vec::new();
        for finding in self.findings(uri) {
            let Some(fix) = &finding.fix else { continue };
            let edits = self.edits(uri, &finding);
            if !fix.changes_behaviour {
                safe.extend(edits.clone());
            }
            let here = range(&text, &finding.place);
            let touches = here.start.line <= params.range.end.line
                && params.range.start.line <= here.end.line;
            if touches && wants(&CodeActionKind::QUICKFIX) {
                actions.push(CodeAction {
                    title: format!("{}: {}", finding.code, fix.title),
                    kind: Some(CodeActionKind::QUICKFIX),
                    diagnostics: Some(vec![self.diagnostic(uri, &finding)]),
                    edit: Some(changes(uri, edits)),
                    ..CodeAction::default()
                });
            }
        }
        if !safe.is_empty() && wants(&CodeActionKind::SOURCE_FIX_ALL) {
            actions.push(CodeAction {
                title: "evenkeel: apply all fixes that do not change behaviour".to_owned(),
                kind: Some(CodeActionKind::SOURCE_FIX_ALL),
                edit: Some(changes(uri, safe)),
                ..CodeAction::default()
            });
        }
        actions
    }
}

fn changes(uri: &Uri, edits: Vec<TextEdit>) -> WorkspaceEdit {
    WorkspaceEdit {
        changes: Some([(uri.clone(), edits)].into_iter().collect()),
        ..WorkspaceEdit::default()
    }
}

fn range(text: &str, place: &Place) -> Range {
    Range {
        start: position(text, place.bytes.start),
        end: position(text, place.bytes.end),
    }
}

/// Line and column from zero, the column in UTF-16 units, as the protocol counts.
fn position(text: &str, offset: usize) -> Position {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.bytes().filter(|&b| b == b'\n').count();
    let start = before.rfind('\n').map_or(0, |n| n + 1);
    let character = before[start..].encode_utf16().count();
    Position {
        line: u32::try_from(line).unwrap_or(u32::MAX),
        character: u32::try_from(character).unwrap_or(u32::MAX),
    }
}

fn path_of(uri: &Uri) -> PathBuf {
    PathBuf::from(percent_decoded(uri.as_str().trim_start_matches("file://")))
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits: Vec<u8> = rest.by_ref().take(2).collect();
            let value = std::str::from_utf8(&digits)
                .ok()
                .and_then(|d| u8::from_str_radix(d, 16).ok());
            bytes.extend(value);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
