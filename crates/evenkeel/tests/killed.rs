//! What is on the disk when a process is killed with no chance to say a last word.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use evenkeel::idempotency::redb::RedbStore;
use evenkeel::idempotency::{Begun, Fingerprint, Place, Recovery, Store, Terms};

#[tokio::test]
async fn keys_survive_a_process_that_is_killed_and_what_was_not_answered_is_in_doubt() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.redb");
    // `examples/claims.rs`, which cargo builds beside the tests.
    let own = std::env::current_exe().unwrap();
    let profile = own.ancestors().nth(2).unwrap();
    let mut child = Command::new(profile.join("examples").join("claims"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("cargo builds examples/claims with the tests");
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{}", path.display()).unwrap();
    let (mut claimed, mut done) = (BTreeSet::new(), BTreeSet::new());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut note = |line: &str| match line.split_once(' ') {
        Some(("claimed", number)) => claimed.insert(number.parse::<u32>().unwrap()),
        Some(("done", number)) => done.insert(number.parse::<u32>().unwrap()),
        _ => panic!("{line}"),
    };
    for line in lines.by_ref().take(101) {
        note(&line.unwrap());
    }
    // SIGKILL, while it is busy with the next one.
    child.kill().unwrap();
    child.wait().unwrap();
    // What it had said by then, it had done.
    for line in lines.map_while(Result::ok) {
        note(&line);
    }
    assert!(claimed.len() > 50 && done.len() > 25);

    let store = RedbStore::open(&path).unwrap();
    let request = Fingerprint::of(&[]);
    let mut again = Terms::default();
    again.recovery = Recovery::RunAgain;
    // The last may have been answered in the instant of the kill, and not have said so.
    let last = claimed.last().copied().unwrap();
    for number in claimed {
        let place = Place::of(&[&number.to_be_bytes()]);
        let said = store
            .begin(place, request, &Terms::default())
            .await
            .unwrap();
        match said {
            Begun::Replay(answer) => {
                assert_eq!(answer.body().unwrap(), &number.to_string());
                assert!(done.contains(&number) || number == last);
            }
            Begun::InDoubt => {
                assert!(
                    !done.contains(&number),
                    "{number} was done, and is in doubt"
                );
                // Not after its lease: the process that held it is known to be dead.
                let heir = store.begin(place, request, &again).await.unwrap();
                assert!(matches!(heir, Begun::New(_)));
            }
            other => panic!("{number}: {other:?}"),
        }
    }
}
