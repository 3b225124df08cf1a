//! What several tests begin with.

use syncline_event::Origin;
use syncline_timebase::BootId;

pub(crate) fn origin() -> Origin {
    Origin {
        node: "eu-1".parse().unwrap(),
        region: "eu".into(),
        boot: BootId(7),
        run_first_seq: 1,
        agent_version: "0.1.0".into(),
        kernel: "6.18.0".into(),
    }
}
