//! The key of a record: region, node and boot, so that the batches of one boot of a node stay in one partition, in their order.

use syncline_timebase::BootId;

/// The key of the batches of one boot of a node.
pub fn key_of(region: &str, node: &str, boot: BootId) -> String {
    format!("{region}/{node}/{boot}")
}

/// The region that a key speaks of. None where it is no key of ours; the batch itself tells then.
pub fn region_in(key: &[u8]) -> Option<&str> {
    let mut parts = std::str::from_utf8(key).ok()?.split('/');
    let region = parts.next().filter(|region| !region.is_empty())?;
    (parts.count() == 2).then_some(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_its_region_and_other_texts_tell_none() {
        assert_eq!(region_in(key_of("eu-1", "n.1", BootId(7)).as_bytes()), Some("eu-1"));
        for foreign in [&b""[..], b"eu", b"eu/n", b"/n/7", b"eu/n/7/8", b"\xff/n/7"] {
            assert_eq!(region_in(foreign), None, "{foreign:?}");
        }
    }
}
