//! Who a stamp belongs to.

use std::fmt;
use std::str::FromStr;

/// A node's name, unique in the fleet: 1 to 253 characters of `[A-Za-z0-9._-]`, as in a host name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(String);

/// A text is not a node name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeNameError(String);

impl fmt::Display for NodeNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node name {:?}: use 1 to 253 letters, digits, '.', '_' or '-'", self.0)
    }
}
impl std::error::Error for NodeNameError {}

impl NodeName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = NodeNameError;
    fn from_str(text: &str) -> Result<Self, NodeNameError> {
        let sane = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if (1..=253).contains(&text.len()) && text.chars().all(sane) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NodeNameError(text.chars().take(64).collect()))
        }
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One boot of a kernel: the first 64 bits of `/proc/sys/kernel/random/boot_id`. MONO and RAW count from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootId(pub u64);

impl FromStr for BootId {
    type Err = std::num::ParseIntError;
    /// Reads the kernel's text form (`xxxxxxxx-xxxx-xxxx-...`).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits: String = text.trim().chars().filter(|c| *c != '-').take(16).collect();
        u64::from_str_radix(&digits, 16).map(Self)
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_id_is_read_as_the_kernel_prints_it() {
        let boot: BootId = "b3b21dd5-01f9-4a5c-9f3e-0f4f9f6a7a11\n".parse().unwrap();
        assert_eq!(boot.to_string(), "b3b21dd501f94a5c");
        assert!("not-a-boot".parse::<BootId>().is_err());
    }

    #[test]
    fn a_node_name_is_a_host_name() {
        assert!("eu-1.rack_7".parse::<NodeName>().is_ok());
        for bad in ["", "a b", "a/b", "ü", &"x".repeat(254)] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad:?}");
        }
    }
}
