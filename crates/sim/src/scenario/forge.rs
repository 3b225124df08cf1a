//! Stamps that no clock ever showed.

use syncline_timebase::{Instant, Knot, Probe, Span};

use crate::Random;

use super::{Corruption, Delivery, Fault, Lie, MS};

/// What `fault` makes of a batch, if it makes anything of it.
pub(super) fn falsify(delivery: &mut Delivery, fault: &Fault, random: &mut Random) {
    match *fault {
        Fault::Corrupt { from_ns, share, how } => {
            let hit = |begun_ns: i64| begun_ns >= from_ns && random.uniform() < share;
            rewrite(delivery, hit, |probe| how.of(probe));
        }
        Fault::Lying { from_ns, until_ns, lie } => {
            let during = |begun_ns: i64| (from_ns..until_ns).contains(&begun_ns);
            if !matches!(lie, Lie::Garbage(_)) {
                rewrite(delivery, during, |probe| lie.told_of(probe, random));
            }
            if during(delivery.sealed_ns) {
                lie.beside_probes(delivery, random);
            }
        }
        _ => {}
    }
}

/// Changes the probes that began when `hit` says so; they are no exchanges any more.
fn rewrite(delivery: &mut Delivery, mut hit: impl FnMut(i64) -> bool, mut change: impl FnMut(&Probe) -> Probe) {
    for (probe, lived) in delivery.probes.iter_mut().zip(&mut delivery.lived) {
        if lived.is_some_and(|(begun_ns, _)| hit(begun_ns)) {
            *probe = change(probe);
            *lived = None;
        }
    }
}

impl Corruption {
    fn of(self, probe: &Probe) -> Probe {
        let some = Span::from_ms(7);
        match self {
            Self::ReturnedBeforeSent => Probe { returned: probe.sent - some, ..*probe },
            Self::RepliedBeforeReceived => Probe { replied: probe.received - some, ..*probe },
            Self::NegativeDelay => Probe { replied: probe.received + (probe.returned - probe.sent) + some, ..*probe },
            Self::Edges => {
                Probe { received: Instant::from_ns(i64::MIN), replied: Instant::from_ns(i64::MAX), ..*probe }
            }
            Self::EarlierBoot(ns) => moved(probe, Span::from_ns(-ns)),
            Self::LaterBoot(ns) => moved(probe, Span::from_ns(ns)),
        }
    }
}

impl Lie {
    fn told_of(self, probe: &Probe, random: &mut Random) -> Probe {
        let mut anything = |most: i64| Span::from_ns(random.between(-(most as f64), most as f64) as i64);
        match self {
            Self::Noise(most) => {
                Probe { sent: probe.sent + anything(most), returned: probe.returned + anything(most), ..*probe }
            }
            Self::Shifted(ns) | Self::Future(ns) => moved(probe, Span::from_ns(ns)),
            Self::Narrow(shift) => {
                let middle = probe.sent + Span::from_ns((probe.returned - probe.sent).ns() / 2 + shift);
                let at_reference = (probe.replied - probe.received).ns() / 2 + 1;
                let (sent, returned) = (middle - Span::from_ns(at_reference), middle + Span::from_ns(at_reference));
                Probe { sent, returned, ..*probe }
            }
            Self::Garbage(_) => *probe,
        }
    }

    /// What it makes of the rest of the batch.
    fn beside_probes(self, delivery: &mut Delivery, random: &mut Random) {
        match self {
            Self::Future(ns) => {
                let ahead = Span::from_ns(ns);
                for knot in &mut delivery.knots {
                    *knot = Knot { mono: knot.mono + ahead, raw: knot.raw + ahead, wall: knot.wall + ahead, ..*knot };
                }
            }
            Self::Garbage(samples) => {
                for _ in 0..samples {
                    delivery.knots.push(any_knot(random));
                    delivery.probes.push(any_probe(random));
                    delivery.lived.push(None);
                }
            }
            Self::Noise(_) | Self::Shifted(_) | Self::Narrow(_) => {}
        }
    }
}

fn moved(probe: &Probe, by: Span) -> Probe {
    Probe { sent: probe.sent + by, returned: probe.returned + by, ..*probe }
}

fn any_knot(random: &mut Random) -> Knot {
    Knot {
        mono: Instant::from_ns(any_ns(random)),
        raw: Instant::from_ns(any_ns(random)),
        wall: Instant::from_ns(any_ns(random)),
        bracket: Span::from_ns(random.between(0.0, MS as f64) as i64),
    }
}

fn any_probe(random: &mut Random) -> Probe {
    Probe {
        sent: Instant::from_ns(any_ns(random)),
        received: Instant::from_ns(any_ns(random)),
        replied: Instant::from_ns(any_ns(random)),
        returned: Instant::from_ns(any_ns(random)),
    }
}

/// Any number, of any size.
fn any_ns(random: &mut Random) -> i64 {
    let bits = (random.uniform() * 64.0) as u32;
    let wide = random.between(i64::MIN as f64, i64::MAX as f64) as i64;
    wide >> bits.min(63)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_that_is_corrupted_never_took_place() {
        let probe = Probe {
            sent: Instant::from_ns(1_000),
            received: Instant::from_ns(50_000),
            replied: Instant::from_ns(51_000),
            returned: Instant::from_ns(101_000),
        };
        let sound = |probe: Probe| probe.returned >= probe.sent && probe.replied >= probe.received;
        assert!(
            !sound(Corruption::ReturnedBeforeSent.of(&probe)) && !sound(Corruption::RepliedBeforeReceived.of(&probe))
        );
        assert!(Corruption::NegativeDelay.of(&probe).round_trip() < Span::ZERO);
        let narrow = Lie::Narrow(5_000).told_of(&probe, &mut Random::seeded(1));
        assert_eq!(narrow.sent.ns() + narrow.returned.ns(), 2 * (51_000 + 5_000));
        assert!(narrow.round_trip() <= Span::from_ns(2));
        let mut delivery = Delivery {
            reference: 0,
            sealed_ns: 9,
            knots: Vec::new(),
            probes: vec![probe],
            lived: vec![Some((5, 8))],
            claims: Vec::new(),
        };
        falsify(
            &mut delivery,
            &Fault::Corrupt { from_ns: 0, share: 1.0, how: Corruption::Edges },
            &mut Random::seeded(1),
        );
        assert_eq!(delivery.lived, [None]);
        falsify(
            &mut delivery,
            &Fault::Lying { from_ns: 0, until_ns: 99, lie: Lie::Garbage(7) },
            &mut Random::seeded(1),
        );
        assert_eq!((delivery.knots.len(), delivery.probes.len(), delivery.lived.len()), (7, 8, 8));
    }
}
