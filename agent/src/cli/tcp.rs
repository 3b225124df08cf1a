//! Options of capturing TCP.

use std::time::Duration;

use clap::Args;

use crate::capture::TcpConfig;
use crate::units;

#[derive(Args, Debug)]
pub(super) struct TcpArgs {
    /// One message is told for about so many bytes of a connection, each way; a power of two, the same on all nodes
    #[arg(long, value_name = "SIZE", default_value = "4KiB", value_parser = mark_shift)]
    tcp_message_every: u8,
    /// Most messages told of one process in a second; more are counted
    #[arg(long, value_name = "COUNT", default_value_t = 200)]
    tcp_messages: u32,
    /// Most TCP sessions open at once; more are counted
    #[arg(long, value_name = "COUNT", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(1..=1 << 22))]
    tcp_sessions: u32,
    /// A TCP session that has been open for so long is told of while it is open
    #[arg(long, value_name = "DURATION", default_value = "30s", allow_hyphen_values = true, value_parser = units::duration)]
    tcp_open: Duration,
}

impl TcpArgs {
    pub(super) fn config(&self) -> TcpConfig {
        TcpConfig {
            mark_shift: self.tcp_message_every,
            messages_per_s: self.tcp_messages,
            sessions: self.tcp_sessions,
            tell_open_after: self.tcp_open,
        }
    }
}

fn mark_shift(text: &str) -> Result<u8, String> {
    let bytes = units::bytes(text)?;
    let shift = u8::try_from(bytes.trailing_zeros()).unwrap_or(u8::MAX);
    if bytes.is_power_of_two() && shift <= 31 {
        Ok(shift)
    } else {
        Err(format!("{bytes} is not a power of two up to 2GiB, as 4KiB is"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spacing_is_a_power_of_two() {
        assert_eq!([mark_shift("4KiB"), mark_shift("1MiB")], [Ok(12), Ok(20)]);
        assert!(mark_shift("5000").is_err() && mark_shift("4GiB").is_err() && mark_shift("0").is_err());
    }
}
