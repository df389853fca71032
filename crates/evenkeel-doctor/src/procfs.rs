//! What Linux knows of any process: its threads, where each of them sleeps, and its descriptors.
//!
//! Seconds of processor time lie under a noisy neighbour: a spinning process on a crowded machine
//! gets little of it. The scheduler's own account, time run plus time *wanted*, does not.

use crate::note::{Note, Parsed};

/// One thread.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Thread {
    /// Thread id.
    pub id: u64,
    /// Name as the process set it.
    pub name: String,
    /// `R`, `S`, `D`, ...
    pub state: char,
    /// Nanoseconds on a processor.
    pub run_ns: u64,
    /// Nanoseconds ready and waiting for one.
    pub wait_ns: u64,
    /// Times it gave the processor up by itself.
    pub voluntary: u64,
    /// Kernel function it sleeps in; empty or `0` while it runs.
    pub sleeps_in: String,
}

impl Thread {
    /// Whether it is parked on a futex: a lock, a condition or an idle pool.
    pub fn on_futex(&self) -> bool {
        self.sleeps_in.contains("futex")
    }

    /// The name without a trailing number: the threads of one pool share it.
    pub fn family(&self) -> &str {
        self.name
            .trim_end_matches(|c: char| c.is_ascii_digit())
            .trim_end_matches(['-', '_', ' ', '#', ':', '/'])
    }
}

/// TCP sockets of the process to one peer.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Peer {
    /// Address and port of the other side.
    pub address: String,
    /// State as the kernel names it, such as `established` or `syn-sent`.
    pub state: String,
    /// How many sockets.
    pub sockets: u64,
}

/// A process at one moment.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct ProcessSample {
    /// Its threads.
    pub threads: Vec<Thread>,
    /// Open file descriptors.
    pub descriptors: Option<u64>,
    /// Resident memory in bytes.
    pub resident_bytes: Option<u64>,
    /// Sockets by peer, where they were readable.
    pub peers: Vec<Peer>,
}

impl ProcessSample {
    /// Nanoseconds run plus waited for a processor, over all threads.
    pub fn demand_ns(&self) -> u64 {
        self.threads.iter().fold(0_u64, |sum, thread| {
            sum.saturating_add(thread.run_ns)
                .saturating_add(thread.wait_ns)
        })
    }
}

/// Reads the sections `## status`, `## fds`, `## peers` and `## tasks` of a saved sample.
pub fn read_process(bytes: &[u8]) -> Parsed<ProcessSample> {
    let text = String::from_utf8_lossy(bytes);
    let mut sample = ProcessSample::default();
    let mut section = "";
    let mut broken = 0_u64;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            section = name.split_whitespace().next().unwrap_or("");
            continue;
        }
        if line.trim().is_empty() {
            continue;
        }
        match section {
            "fds" => sample.descriptors = line.trim().parse().ok(),
            "status" => {
                if let Some(kib) = line.strip_prefix("VmRSS:") {
                    sample.resident_bytes = kib
                        .trim()
                        .trim_end_matches("kB")
                        .trim()
                        .parse::<u64>()
                        .ok()
                        .map(|kib| kib.saturating_mul(1024));
                }
            }
            "peers" => match read_peer(line) {
                Some(peer) => sample.peers.push(peer),
                None => broken += 1,
            },
            "tasks" => match read_thread(line) {
                Some(thread) => sample.threads.push(thread),
                None => broken += 1,
            },
            _ => {}
        }
    }
    let mut notes = Vec::new();
    if sample.threads.is_empty() {
        notes.push(Note::new("process", "lists no thread"));
    }
    if broken > 0 {
        notes.push(Note::new("process", format!("{broken} lines are cut")));
    }
    (sample, notes)
}

/// `tid|comm|state|utime|stime|run wait slices|vol|nonvol|wchan`; a name may hold bars itself.
fn read_thread(line: &str) -> Option<Thread> {
    let (id, rest) = line.split_once('|')?;
    let mut tail = rest.rsplitn(8, '|');
    let sleeps_in = tail.next()?;
    let _involuntary = tail.next()?;
    let voluntary = tail.next()?;
    let mut schedstat = tail.next()?.split_whitespace();
    let _system = tail.next()?;
    let _user = tail.next()?;
    let state = tail.next()?;
    let name = tail.next()?;
    Some(Thread {
        id: id.trim().parse().ok()?,
        name: name.to_owned(),
        state: state.chars().next()?,
        run_ns: schedstat
            .next()
            .and_then(|word| word.parse().ok())
            .unwrap_or(0),
        wait_ns: schedstat
            .next()
            .and_then(|word| word.parse().ok())
            .unwrap_or(0),
        voluntary: voluntary.trim().parse().unwrap_or(0),
        sleeps_in: sleeps_in.trim().to_owned(),
    })
}

fn read_peer(line: &str) -> Option<Peer> {
    let mut words = line.split('|');
    Some(Peer {
        address: words.next()?.to_owned(),
        state: words.next()?.to_owned(),
        sockets: words.next()?.trim().parse().ok()?,
    })
}

/// Writes a sample in the form [`read_process`] reads.
pub fn write_process(sample: &ProcessSample) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    if let Some(bytes) = sample.resident_bytes {
        let _ = writeln!(text, "## status\nVmRSS:\t{} kB", bytes / 1024);
    }
    if let Some(descriptors) = sample.descriptors {
        let _ = writeln!(text, "## fds\n{descriptors}");
    }
    if !sample.peers.is_empty() {
        let _ = writeln!(text, "## peers address|state|sockets");
        for peer in &sample.peers {
            let _ = writeln!(text, "{}|{}|{}", peer.address, peer.state, peer.sockets);
        }
    }
    let _ = writeln!(
        text,
        "## tasks tid|comm|state|utime|stime|schedstat(run_ns wait_ns slices)|vol|nonvol|wchan"
    );
    for thread in &sample.threads {
        let _ = writeln!(
            text,
            "{}|{}|{}|0|0|{} {} 0|{}|0|{}",
            thread.id,
            thread.name,
            thread.state,
            thread.run_ns,
            thread.wait_ns,
            thread.voluntary,
            thread.sleeps_in
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "## status\nVmRSS:\t 9692 kB\n## fds\n15\n## tasks tid|comm|state\n\
        1402|price-0|S|10|0|101731491 382961097 119|59|60|futex_do_wait\n\
        1403|odd|name|R|8|0|81776656 376204627 136|59|77|0\n";

    #[test]
    fn threads_descriptors_and_memory_are_read() {
        let (sample, notes) = read_process(SAMPLE.as_bytes());
        assert_eq!(sample.descriptors, Some(15));
        assert_eq!(sample.threads[0].family(), "price");
        assert!(sample.threads[0].on_futex());
        assert_eq!(sample.threads[1].name, "odd|name");
        assert_eq!(sample.threads[1].wait_ns, 376_204_627);
        assert_eq!(notes, []);
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        let (mut sample, _) = read_process(SAMPLE.as_bytes());
        sample.peers.push(Peer {
            address: "10.0.0.1:5432".into(),
            state: "established".into(),
            sockets: 9,
        });
        let (again, notes) = read_process(write_process(&sample).as_bytes());
        assert_eq!(again.threads, sample.threads);
        assert_eq!(again.peers, sample.peers);
        assert_eq!(notes, []);
    }
}
