//! The services' own record of who called whom when, which Syncline never sees.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// One side of one call. The stamps are this machine's CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Entry {
    pub(crate) id: u64,
    pub(crate) hop: u32,
    pub(crate) role: Role,
    pub(crate) goid: u64,
    pub(crate) send_mono_ns: i64,
    pub(crate) recv_mono_ns: i64,
}

/// The client sent the request and received the reply, the server the other way round.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    Client,
    Server,
}

/// A moment in one goroutine of one region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Index of the region.
    pub(crate) region: usize,
    pub(crate) goid: u64,
    pub(crate) mono_ns: i64,
}

/// A message from one region to another: its sending really was before its receipt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    pub(crate) sent: Moment,
    pub(crate) received: Moment,
}

/// Reads a journal.
///
/// # Errors
/// When a line is not an entry.
pub(crate) fn read(path: &Path) -> Result<Vec<Entry>> {
    let file = File::open(path).with_context(|| format!("cannot read the journal {}", path.display()))?;
    let parse = |(number, line): (usize, std::io::Result<String>)| {
        serde_json::from_str(&line?).with_context(|| format!("{}:{}", path.display(), number + 1))
    };
    BufReader::new(file).lines().enumerate().map(parse).collect()
}

/// The requests and replies of which both sides were journalled. The journals come in the order of the regions.
///
/// # Errors
/// When a message was received before it was sent: then the journals are no truth.
pub(crate) fn messages(journals: &[Vec<Entry>]) -> Result<Vec<Message>> {
    let sides = |role: Role| {
        let all = journals.iter().enumerate().flat_map(|(region, entries)| entries.iter().map(move |e| (region, e)));
        all.filter(move |(_, entry)| entry.role == role)
    };
    let servers: HashMap<_, _> = sides(Role::Server).map(|side| ((side.1.id, side.1.hop), side)).collect();
    let mut messages = Vec::new();
    for client in sides(Role::Client) {
        if let Some(server) = servers.get(&(client.1.id, client.1.hop)) {
            messages.push(Message { sent: sending(client), received: receipt(*server) });
            messages.push(Message { sent: sending(*server), received: receipt(client) });
        }
    }
    if let Some(broken) = messages.iter().find(|message| message.sent.mono_ns >= message.received.mono_ns) {
        bail!("the services' journals contradict themselves: {broken:?}");
    }
    Ok(messages)
}

fn sending((region, entry): (usize, &Entry)) -> Moment {
    Moment { region, goid: entry.goid, mono_ns: entry.send_mono_ns }
}

fn receipt((region, entry): (usize, &Entry)) -> Moment {
    Moment { region, goid: entry.goid, mono_ns: entry.recv_mono_ns }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u64, role: Role, goid: u64, send_mono_ns: i64, recv_mono_ns: i64) -> Entry {
        Entry { id, hop: 1, role, goid, send_mono_ns, recv_mono_ns }
    }

    #[test]
    fn a_call_is_two_messages_and_a_one_sided_call_is_none() {
        let us = vec![entry(1, Role::Client, 7, 10, 50), entry(2, Role::Client, 7, 60, 90)];
        let eu = vec![entry(1, Role::Server, 9, 40, 20)];
        let messages = messages(&[us, eu]).unwrap();
        assert_eq!(messages.len(), 2);
        assert_eq!(messages[0].sent, Moment { region: 0, goid: 7, mono_ns: 10 });
        assert_eq!(messages[0].received, Moment { region: 1, goid: 9, mono_ns: 20 });
        assert_eq!(messages[1].sent, Moment { region: 1, goid: 9, mono_ns: 40 });
        assert_eq!(messages[1].received, Moment { region: 0, goid: 7, mono_ns: 50 });
    }

    #[test]
    fn journals_that_break_causality_are_refused() {
        let us = vec![entry(1, Role::Client, 7, 30, 50)];
        let eu = vec![entry(1, Role::Server, 9, 40, 20)];
        assert!(messages(&[us, eu]).unwrap_err().to_string().contains("contradict"));
    }

    #[test]
    fn a_journal_is_read_line_by_line_and_a_broken_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("us.jsonl");
        let good = r#"{"id":1,"hop":2,"role":"server","pid":3,"goid":4,"send_mono_ns":5,"recv_mono_ns":6}"#;
        std::fs::write(&path, format!("{good}\n")).unwrap();
        let entries = read(&path).unwrap();
        assert_eq!((entries[0].role, entries[0].send_mono_ns), (Role::Server, 5));
        std::fs::write(&path, format!("{good}\nnonsense\n")).unwrap();
        assert!(format!("{:#}", read(&path).unwrap_err()).contains("us.jsonl:2"));
    }
}
