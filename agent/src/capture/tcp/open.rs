//! Sessions that are told of while they are open.

use std::collections::HashMap;
use std::time::Duration;

use syncline_bpf::tcp::TcpSessionRecord;

/// Which open sessions have been told, and as of when (CLOCK_MONOTONIC ns).
#[derive(Debug, Default)]
pub(super) struct OpenSessions {
    told: HashMap<(u64, u64), u64>,
}

impl OpenSessions {
    /// Of the sessions that are open at `now_ns`, those to be told: open for `after`, and something happened since they were told
    /// that long ago.
    pub(super) fn due(&mut self, open: Vec<TcpSessionRecord>, now_ns: u64, after: Duration) -> Vec<TcpSessionRecord> {
        let after_ns = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
        let key = |session: &TcpSessionRecord| (session.socket, session.first_mono_ns);
        let before = std::mem::take(&mut self.told);
        self.told.extend(open.iter().filter_map(|session| Some((key(session), *before.get(&key(session))?))));
        let is_due = |session: &TcpSessionRecord| {
            let told = before.get(&key(session)).copied();
            let is_news = told.is_none_or(|told| session.updated_mono_ns > told);
            is_news && now_ns.saturating_sub(told.unwrap_or(session.first_mono_ns)) >= after_ns
        };
        let due: Vec<TcpSessionRecord> = open.into_iter().filter(is_due).collect();
        self.told.extend(due.iter().map(|session| (key(session), session.updated_mono_ns)));
        due
    }
}

#[cfg(test)]
mod tests {
    use syncline_bpf::tcp::decode_session;

    use super::*;

    fn session(socket: u64, updated_mono_ns: u64) -> TcpSessionRecord {
        let zeroed = decode_session(&[0; size_of::<syncline_bpf::tcp::Session>()], None).unwrap();
        TcpSessionRecord { socket, first_mono_ns: 10, updated_mono_ns, ..zeroed }
    }

    #[test]
    fn a_long_one_is_told_again_only_after_as_long_and_with_news() {
        let mut open = OpenSessions::default();
        let mut told = |now, updated| open.due(vec![session(1, updated)], now, Duration::from_nanos(100)).len();
        assert_eq!([told(50, 50), told(110, 105), told(150, 140), told(300, 105), told(310, 300)], [0, 1, 0, 0, 1]);
    }

    #[test]
    fn what_has_ended_is_forgotten() {
        let mut open = OpenSessions::default();
        assert_eq!(open.due(vec![session(1, 20), session(2, 20)], 500, Duration::from_nanos(100)).len(), 2);
        assert!(open.due(vec![session(2, 20)], 900, Duration::from_nanos(100)).is_empty());
        assert_eq!(open.told.len(), 1);
    }
}
