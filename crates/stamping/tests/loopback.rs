//! Packets over the loopback device, with the kernel's own stamps.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant as Stopwatch};

use syncline_stamping::{Reading, StampMap, StampedSocket, mono_ns};
use syncline_timebase::{Instant, Span};

const PATIENCE: Duration = Duration::from_secs(10);

/// Asks until there is something.
fn wait_for<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Stopwatch::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "nothing came within {PATIENCE:?}");
        std::thread::yield_now();
    }
}

fn pair(address: &str) -> [StampedSocket; 2] {
    let sockets = [0; 2].map(|_| StampedSocket::bind(address.parse().unwrap()).unwrap());
    sockets[0].connect(sockets[1].local_addr().unwrap()).unwrap();
    // The kernel turns stamping on in the background.
    wait_for(|| {
        sockets[0].send(&[0; 56]).unwrap();
        let received = wait_for(|| sockets[1].receive(&mut [0; 100]).unwrap());
        wait_for(|| sockets[0].departed::<56>().unwrap());
        received.at
    });
    sockets
}

/// A packet departs after it is sent and arrives before it is read, in this order, on MONO and on RAW.
fn stamps_are_in_order(address: &str) {
    let [here, there] = pair(address);
    let mut map = StampMap::new(Reading::take());
    for round in 0..100u8 {
        let before = mono_ns();
        here.send(&[round; 56]).unwrap();
        let mut buffer = [0; 100];
        let received = wait_for(|| there.receive(&mut buffer).unwrap());
        let departed = wait_for(|| here.departed::<56>().unwrap());
        let after = mono_ns();
        assert_eq!((received.len, received.way.peer), (56, here.local_addr().unwrap()));
        assert_eq!((departed.bytes, buffer[0]), ([round; 56], round));
        if !map.update(Reading::take()) {
            continue;
        }
        let [out, back] = [departed.at, received.at.unwrap()].map(|stamp| map.place(stamp));
        let slack = out.mono_slack + back.mono_slack;
        assert!(out.mono + slack >= Instant::from_ns(before), "round {round}: departed before it was sent");
        assert!(out.mono <= back.mono + slack, "round {round}: arrived before it departed");
        assert!(back.mono <= Instant::from_ns(after) + slack, "round {round}: arrived after it was read");
        let apart = (back.raw - out.raw) - (back.mono - out.mono);
        assert!(apart.abs() <= out.raw_slack + back.raw_slack);
        assert!(slack < Span::from_ns(20_000), "{slack:?}");
    }
}

#[test]
fn stamps_are_in_order_over_ipv4() {
    stamps_are_in_order("127.0.0.1:0");
}

#[test]
fn stamps_are_in_order_over_ipv6() {
    stamps_are_in_order("[::1]:0");
}

#[test]
fn a_socket_without_packets_says_so_and_one_refused_goes_on() {
    let [here, there] = pair("127.0.0.1:0");
    assert!(here.receive(&mut [0; 8]).unwrap().is_none() && here.departed::<56>().unwrap().is_none());
    let gone = there.local_addr().unwrap();
    drop(there);
    here.send(&[1; 56]).unwrap();
    let error = wait_for(|| here.receive(&mut [0; 8]).err());
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    let there = StampedSocket::bind(gone).unwrap();
    here.send(&[2; 56]).unwrap();
    let received = wait_for(|| there.receive(&mut [0; 100]).unwrap());
    there.send_back(&[3; 56], &received.way).unwrap();
    let mut buffer = [0; 100];
    wait_for(|| here.receive(&mut buffer).unwrap());
    assert_eq!(buffer[0], 3);
}

/// A socket that has asked `asked` of one bound to all addresses takes its answers from there alone.
fn an_answer_comes_from_the_address_that_was_asked(all: &str, asked: &str) {
    let there = StampedSocket::bind(all.parse().unwrap()).unwrap();
    let asked = SocketAddr::new(asked.parse().unwrap(), there.local_addr().unwrap().port());
    let unspecified: IpAddr = if asked.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let here = StampedSocket::bind((unspecified, 0).into()).unwrap();
    here.connect(asked).unwrap();
    here.send(&[1; 56]).unwrap();
    let received = wait_for(|| there.receive(&mut [0; 100]).unwrap());
    assert_eq!(received.way.local.unwrap().to_canonical(), asked.ip());
    there.send_back(&[2; 56], &received.way).unwrap();
    let mut buffer = [0; 100];
    wait_for(|| here.receive(&mut buffer).unwrap());
    assert_eq!(buffer[0], 2);
    // The answer's departure is told beside the address, too.
    let departed = wait_for(|| {
        there.send_back(&[3; 56], &received.way).unwrap();
        there.departed::<56>().unwrap()
    });
    assert!(departed.bytes == [2; 56] || departed.bytes == [3; 56]);
}

#[test]
fn an_answer_comes_from_the_address_that_was_asked_over_ipv4() {
    an_answer_comes_from_the_address_that_was_asked("0.0.0.0:0", "127.0.0.5");
}

#[test]
fn an_answer_comes_from_the_address_that_was_asked_over_ipv6() {
    an_answer_comes_from_the_address_that_was_asked("[::]:0", "::1");
}

#[test]
fn an_answer_comes_from_the_address_that_was_asked_over_ipv4_at_a_socket_of_both() {
    an_answer_comes_from_the_address_that_was_asked("[::]:0", "127.0.0.5");
}
