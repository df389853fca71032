//! Annotations for a pull request or a workflow run on GitHub.

use crate::finding::Diagnosis;

/// One `::error` command per finding, or a notice when there is none.
pub fn to_github(diagnosis: &Diagnosis) -> String {
    if diagnosis.findings.is_empty() {
        return format!(
            "::notice title=evenkeel doctor::{}: healthy\n",
            value(&diagnosis.origin)
        );
    }
    let mut out = String::new();
    for finding in &diagnosis.findings {
        let reported = finding.reported();
        let mut place = String::new();
        if let Some(location) = &reported.location {
            place = format!("file={},", property(&location.file));
            if let Some(line) = location.line {
                place.push_str(&format!("line={line},"));
            }
        }
        let mut text = reported.message.clone();
        for evidence in &reported.evidence {
            text.push_str("\n- ");
            text.push_str(&evidence.text);
        }
        out.push_str(&format!(
            "::error {place}title=evenkeel doctor {}::{}\n",
            property(&reported.rule),
            value(&text)
        ));
    }
    out
}

/// Escapes text of a command, as the runner undoes it.
fn value(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// Escapes a property of a command.
fn property(text: &str) -> String {
    value(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_break_out_of_its_command() {
        assert_eq!(value("a\n::error::b%"), "a%0A::error::b%25");
        assert_eq!(property("a:1,b"), "a%3A1%2Cb");
    }
}
