//! What the tests have in common.

#![allow(dead_code, reason = "each test uses a part")]

pub(crate) mod arbitrary;
pub(crate) mod chance;
pub(crate) mod history;
pub(crate) mod model;
