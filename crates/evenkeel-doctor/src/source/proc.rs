//! A live process, from `/proc`: nothing is asked of the process itself.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::procfs::{Peer, ProcessSample, Thread};

/// Samples the process `pid`.
///
/// # Errors
/// The process does not exist, or its threads cannot be listed.
pub fn sample_process(pid: u32) -> io::Result<ProcessSample> {
    sample_at(&PathBuf::from(format!("/proc/{pid}")))
}

fn sample_at(root: &Path) -> io::Result<ProcessSample> {
    let mut threads = Vec::new();
    for entry in fs::read_dir(root.join("task"))? {
        // A thread may end between the listing and the reading.
        if let Some(thread) = read_thread(&entry?.path()) {
            threads.push(thread);
        }
    }
    threads.sort_by_key(|thread| thread.id);
    let links: Vec<PathBuf> = fs::read_dir(root.join("fd"))
        .map(|entries| {
            entries
                .flatten()
                .filter_map(|entry| fs::read_link(entry.path()).ok())
                .collect()
        })
        .unwrap_or_default();
    Ok(ProcessSample {
        descriptors: (!links.is_empty()).then_some(links.len() as u64),
        resident_bytes: resident(root),
        peers: peers(root, &sockets(&links)),
        threads,
    })
}

fn read_thread(task: &Path) -> Option<Thread> {
    let id = task.file_name()?.to_str()?.parse().ok()?;
    let read = |name: &str| fs::read_to_string(task.join(name)).unwrap_or_default();
    let status = read("status");
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    let schedstat = read("schedstat");
    let mut times = schedstat
        .split_whitespace()
        .map(|word| word.parse().unwrap_or(0));
    Some(Thread {
        id,
        name: read("comm").trim().to_owned(),
        state: field("State:")?.chars().next()?,
        run_ns: times.next().unwrap_or(0),
        wait_ns: times.next().unwrap_or(0),
        voluntary: field("voluntary_ctxt_switches:")
            .and_then(|count| count.parse().ok())
            .unwrap_or(0),
        sleeps_in: read("wchan").trim().to_owned(),
    })
}

fn resident(root: &Path) -> Option<u64> {
    let status = fs::read_to_string(root.join("status")).ok()?;
    let kib: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?
        .trim()
        .trim_end_matches("kB")
        .trim()
        .parse()
        .ok()?;
    Some(kib.saturating_mul(1024))
}

fn sockets(links: &[PathBuf]) -> HashSet<String> {
    links
        .iter()
        .filter_map(|link| {
            link.to_str()?
                .strip_prefix("socket:[")?
                .strip_suffix(']')
                .map(str::to_owned)
        })
        .collect()
}

fn peers(root: &Path, sockets: &HashSet<String>) -> Vec<Peer> {
    let mut found: BTreeMap<(String, String), u64> = BTreeMap::new();
    for table in ["net/tcp", "net/tcp6"] {
        let text = fs::read_to_string(root.join(table)).unwrap_or_default();
        for row in text.lines().skip(1).filter_map(Row::read) {
            if sockets.contains(row.inode) && row.state != "listen" {
                *found.entry((row.remote, row.state.to_owned())).or_default() += 1;
            }
        }
    }
    found
        .into_iter()
        .map(|((address, state), sockets)| Peer {
            address,
            state,
            sockets,
        })
        .collect()
}

/// The process that listens on a port of this machine, if its descriptors may be read.
pub fn listener_of(port: u16) -> Option<u32> {
    let mut inodes = HashSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        for row in text.lines().skip(1).filter_map(Row::read) {
            if row.state == "listen" && row.local_port == port {
                inodes.insert(format!("socket:[{}]", row.inode));
            }
        }
    }
    if inodes.is_empty() {
        return None;
    }
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let holds = fs::read_dir(entry.path().join("fd"))
            .ok()?
            .flatten()
            .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
            .any(|link| link.to_str().is_some_and(|link| inodes.contains(link)));
        holds.then_some(pid)
    })
}

/// One line of `/proc/net/tcp`.
struct Row<'a> {
    local_port: u16,
    remote: String,
    state: &'static str,
    inode: &'a str,
}

impl<'a> Row<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (_, local_port) = words.get(1)?.split_once(':')?;
        let (host, port) = words.get(2)?.split_once(':')?;
        Some(Self {
            local_port: u16::from_str_radix(local_port, 16).ok()?,
            remote: format!("{}:{}", address(host)?, u16::from_str_radix(port, 16).ok()?),
            state: match *words.get(3)? {
                "01" => "established",
                "02" => "syn-sent",
                "03" => "syn-received",
                "04" | "05" => "fin-wait",
                "06" => "time-wait",
                "08" => "close-wait",
                "0A" => "listen",
                _ => "closing",
            },
            inode: words.get(9)?,
        })
    }
}

/// Addresses are printed as 32-bit words in the machine's order.
fn address(hex: &str) -> Option<std::net::IpAddr> {
    let word = |at: usize| {
        u32::from_str_radix(hex.get(at..at + 8)?, 16)
            .ok()
            .map(u32::to_ne_bytes)
    };
    match hex.len() {
        8 => Some(std::net::Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for part in 0..4 {
                bytes[part * 4..part * 4 + 4].copy_from_slice(&word(part * 8)?);
            }
            Some(std::net::Ipv6Addr::from(bytes).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_process_can_be_sampled() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let _out = std::net::TcpStream::connect(address).unwrap();
        let sample = sample_process(std::process::id()).unwrap();
        assert!(!sample.threads.is_empty());
        assert!(sample.descriptors.unwrap() >= 3);
        assert!(
            sample
                .peers
                .iter()
                .any(|peer| peer.address == address.to_string()),
            "{:?}",
            sample.peers
        );
        assert_eq!(listener_of(address.port()), Some(std::process::id()));
    }

    #[test]
    fn a_process_that_does_not_exist_is_an_error() {
        assert!(sample_process(u32::MAX).is_err());
    }
}
