//! From stamps and packets in any order to finished exchanges.

use std::collections::VecDeque;

use syncline_timebase::{Instant, Mono, Probe, Reference, Span};

use crate::packet::Message;

/// Exchanges under way at once; when there are more the oldest is given up.
const MOST_OPEN: usize = 64;

/// Pairs what a node sends with what comes back.
///
/// Of two stamps of the same moment, one taken in user space and one by the kernel, the later one of a departure and the
/// earlier one of an arrival is nearer to it: nothing departs before it is sent nor arrives after it is read.
#[derive(Debug)]
pub struct Pairing {
    open: VecDeque<Open>,
    answer_within: Span,
    follow_up_within: Span,
    refused: Refused,
    /// Given up for want of room, and not told of yet.
    crowded_out: usize,
}

/// An exchange that is not finished.
#[derive(Debug)]
struct Open {
    number: u64,
    sent: Instant<Mono>,
    departed: bool,
    reply: Option<Reply>,
    follow_up: Option<Instant<Reference>>,
}

#[derive(Clone, Copy, Debug)]
struct Reply {
    received: Instant<Reference>,
    replied: Instant<Reference>,
    returned: Instant<Mono>,
    arrived: bool,
    has_follow_up: bool,
}

/// An exchange with all its stamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its number.
    pub number: u64,
    /// The stamps.
    pub probe: Probe,
    /// Which of them the kernel took.
    pub stamped: Stamped,
}

/// Which stamps the kernel took, as far as the node knows (T2 is the aggregator's).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamped {
    /// T1.
    pub departure: bool,
    /// T3.
    pub reply: bool,
    /// T4.
    pub arrival: bool,
}

/// Packets that changed nothing, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// No packets of ours.
    pub malformed: u64,
    /// Without their session's code, or of another session.
    pub forged: u64,
    /// Said again what was said already.
    pub repeated: u64,
    /// Of exchanges that are finished or given up: late, or replayed.
    pub stale: u64,
    /// Exchanges that ended before they began by their stamps.
    pub impossible: u64,
}

impl Refused {
    /// By cause.
    pub fn by_cause(&self) -> [(&'static str, u64); 5] {
        let Self { malformed, forged, repeated, stale, impossible } = *self;
        [
            ("malformed", malformed),
            ("forged", forged),
            ("repeated", repeated),
            ("stale", stale),
            ("impossible", impossible),
        ]
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.by_cause().iter().map(|(_, count)| count).sum()
    }

    /// Counts `more`, too.
    pub fn add(&mut self, more: &Self) {
        self.malformed += more.malformed;
        self.forged += more.forged;
        self.repeated += more.repeated;
        self.stale += more.stale;
        self.impossible += more.impossible;
    }
}

impl Pairing {
    /// Gives up an exchange without a reply `answer_within` of T1; finishes one that was promised a follow-up without it
    /// `follow_up_within` of its reply.
    pub fn new(answer_within: Span, follow_up_within: Span) -> Self {
        Self { open: VecDeque::new(), answer_within, follow_up_within, refused: Refused::default(), crowded_out: 0 }
    }

    /// The request `number` is about to be sent.
    pub fn sent(&mut self, number: u64, at: Instant<Mono>) {
        if self.open.len() == MOST_OPEN {
            let oldest = self.open.pop_front();
            self.crowded_out += usize::from(oldest.is_some_and(|oldest| oldest.reply.is_none()));
        }
        self.open.push_back(Open { number, sent: at, departed: false, reply: None, follow_up: None });
    }

    /// The kernel saw request `number` depart.
    pub fn departed(&mut self, number: u64, at: Instant<Mono>) {
        if let Some(open) = self.open.iter_mut().find(|open| open.number == number && !open.departed) {
            open.sent = open.sent.max(at);
            open.departed = true;
        }
    }

    /// A verified packet of exchange `number` was read at `read`; the kernel saw it arrive at `arrived`.
    pub fn came(&mut self, number: u64, message: Message, read: Instant<Mono>, arrived: Option<Instant<Mono>>) {
        let Some(open) = self.open.iter_mut().find(|open| open.number == number) else {
            self.refused.stale += 1;
            return;
        };
        let is_new = match message {
            Message::Request => false,
            Message::Reply { received, replied, has_follow_up } => {
                let returned = arrived.map_or(read, |arrived| arrived.min(read));
                let reply = Reply { received, replied, returned, arrived: arrived.is_some(), has_follow_up };
                let is_new = open.reply.is_none();
                open.reply.get_or_insert(reply);
                is_new
            }
            Message::FollowUp { replied } => {
                let is_new = open.follow_up.is_none();
                open.follow_up.get_or_insert(replied);
                is_new
            }
        };
        self.refused.repeated += u64::from(!is_new);
    }

    /// A packet came that is not one of the session's.
    pub fn refuse(&mut self, why: crate::BadPacket) {
        match why {
            crate::BadPacket::Malformed => self.refused.malformed += 1,
            crate::BadPacket::Forged => self.refused.forged += 1,
        }
    }

    /// The next exchange that is finished by `now`, in the order of sending.
    pub fn finish(&mut self, now: Instant<Mono>) -> Option<Finished> {
        let within = self.follow_up_within;
        loop {
            let place = self.open.iter().position(|open| open.is_finished(now, within))?;
            match self.open.remove(place)?.finished() {
                Some(finished) => return Some(finished),
                None => self.refused.impossible += 1,
            }
        }
    }

    /// Gives up what is unanswered by `now`; how many these are, with those that had to go for others since it was last asked.
    pub fn give_up(&mut self, now: Instant<Mono>) -> usize {
        let before = self.open.len();
        let within = self.answer_within;
        self.open.retain(|open| open.reply.is_some() || now - open.sent <= within);
        before - self.open.len() + std::mem::take(&mut self.crowded_out)
    }

    /// How long from `now` until [`Self::finish`] or [`Self::give_up`] has something to do, if nothing comes.
    pub fn next_deadline(&self, now: Instant<Mono>) -> Option<Span> {
        let deadline = |open: &Open| match open.reply {
            Some(reply) => reply.returned + self.follow_up_within,
            None => open.sent + self.answer_within,
        };
        self.open.iter().map(|open| (deadline(open) - now).max(Span::ZERO)).min()
    }

    /// What was refused since the last call.
    pub fn take_refused(&mut self) -> Refused {
        std::mem::take(&mut self.refused)
    }
}

impl Open {
    fn is_finished(&self, now: Instant<Mono>, follow_up_within: Span) -> bool {
        let is_late = |reply: &Reply| now - reply.returned >= follow_up_within;
        self.reply.is_some_and(|reply| !reply.has_follow_up || self.follow_up.is_some() || is_late(&reply))
    }

    fn finished(&self) -> Option<Finished> {
        let reply = self.reply?;
        let replied = self.follow_up.map_or(reply.replied, |replied| replied.max(reply.replied));
        let probe = Probe { sent: self.sent, received: reply.received, replied, returned: reply.returned };
        if probe.returned < probe.sent {
            return None;
        }
        let stamped = Stamped { departure: self.departed, reply: self.follow_up.is_some(), arrival: reply.arrived };
        Some(Finished { number: self.number, probe, stamped })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn us(us: i64) -> Instant<Mono> {
        Instant::from_ns(us * 1_000)
    }

    fn reference(us: i64) -> Instant<Reference> {
        Instant::from_ns(1_000_000_000 + us * 1_000)
    }

    fn pairing() -> Pairing {
        Pairing::new(Span::from_ms(2_000), Span::from_ms(100))
    }

    fn reply(number: i64, has_follow_up: bool) -> Message {
        let received = reference(number + 50);
        Message::Reply { received, replied: received + Span::from_ns(5_000), has_follow_up }
    }

    #[test]
    fn the_kernels_stamps_are_taken_where_they_are_nearer() {
        let mut pairing = pairing();
        pairing.sent(1, us(0));
        pairing.departed(1, us(8));
        pairing.departed(1, us(9));
        pairing.came(1, reply(0, true), us(140), Some(us(110)));
        assert_eq!(pairing.finish(us(150)), None, "a follow-up was promised");
        pairing.came(1, Message::FollowUp { replied: reference(61) }, us(160), Some(us(120)));
        let probe = Probe { sent: us(8), received: reference(50), replied: reference(61), returned: us(110) };
        let stamped = Stamped { departure: true, reply: true, arrival: true };
        assert_eq!(pairing.finish(us(160)), Some(Finished { number: 1, probe, stamped }));
        assert_eq!((pairing.finish(us(160)), pairing.next_deadline(us(160))), (None, None));
        pairing.sent(2, us(1_000));
        pairing.departed(2, us(900));
        pairing.came(2, reply(1_000, false), us(1_100), Some(us(1_200)));
        let odd = pairing.finish(us(1_200)).unwrap().probe;
        assert_eq!((odd.sent, odd.returned), (us(1_000), us(1_100)), "a stamp on the wrong side of ours is none");
    }

    #[test]
    fn a_lost_follow_up_leaves_the_stamp_from_before() {
        let mut pairing = pairing();
        pairing.sent(1, us(0));
        pairing.came(1, reply(0, true), us(100), None);
        assert_eq!(pairing.next_deadline(us(100)), Some(Span::from_ms(100)));
        let finished = pairing.finish(us(100_100)).unwrap();
        assert_eq!((finished.probe.replied, finished.stamped), (reference(55), Stamped::default()));
        pairing.came(1, Message::FollowUp { replied: reference(56) }, us(100_200), None);
        assert_eq!(pairing.refused, Refused { stale: 1, ..Refused::default() });
    }

    #[test]
    fn an_exchange_that_ended_before_it_began_is_counted_and_does_not_keep_the_next() {
        let mut pairing = pairing();
        pairing.sent(1, us(0));
        pairing.departed(1, us(120));
        pairing.came(1, reply(0, false), us(140), Some(us(110)));
        pairing.sent(2, us(200));
        pairing.came(2, reply(200, false), us(300), None);
        assert_eq!(pairing.finish(us(300)).map(|finished| finished.number), Some(2));
        assert_eq!(pairing.refused, Refused { impossible: 1, ..Refused::default() });
    }

    #[test]
    fn what_is_not_answered_is_given_up() {
        let mut pairing = pairing();
        (0..100).for_each(|number| pairing.sent(number, us(number as i64)));
        assert_eq!(pairing.open.len(), MOST_OPEN);
        pairing.came(99, reply(99, true), us(200), None);
        assert_eq!(pairing.give_up(us(3_000_000)), 99, "the reply waits for its follow-up, not for itself");
    }

    proptest! {
        /// Whatever order packets come in, and however often: each exchange finishes at most once, with its own stamps.
        #[test]
        fn repeated_and_reordered_packets_change_nothing(
            order in prop::collection::vec((0u64..20, any::<bool>()), 0..200),
        ) {
            let mut pairing = pairing();
            (0..20).for_each(|number| pairing.sent(number, us(number as i64)));
            let (mut finished, mut came) = (Vec::new(), 0);
            for (number, follows) in &order {
                let message = if *follows {
                    Message::FollowUp { replied: reference(*number as i64 + 60) }
                } else {
                    reply(*number as i64, true)
                };
                came += 1;
                pairing.came(*number, message, us(500), Some(us(*number as i64 + 110)));
                finished.extend(std::iter::from_fn(|| pairing.finish(us(500))));
            }
            let mut numbers: Vec<u64> = finished.iter().map(|finished| finished.number).collect();
            let own = |finished: &Finished| finished.probe == Probe {
                sent: us(finished.number as i64),
                received: reference(finished.number as i64 + 50),
                replied: reference(finished.number as i64 + 60),
                returned: us(finished.number as i64 + 110),
            };
            prop_assert!(finished.iter().all(own));
            numbers.sort_unstable();
            numbers.dedup();
            prop_assert_eq!(numbers.len(), finished.len());
            let waiting: usize = pairing.open.iter().map(|open| usize::from(open.reply.is_some()) + usize::from(open.follow_up.is_some())).sum();
            prop_assert_eq!(came, 2 * finished.len() + waiting + pairing.refused.total() as usize, "each is used or counted");
        }
    }
}
