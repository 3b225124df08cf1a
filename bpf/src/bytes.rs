//! Values at places among bytes.

/// A record that is not what the kernel side writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// Fewer bytes than the record needs.
    TooShort {
        /// Bytes needed.
        needed: usize,
        /// Bytes there.
        got: usize,
    },
    /// No such kind of record.
    UnknownKind(u32),
    /// No such kind of wait.
    UnknownWait(u8),
    /// More frames than a record can hold.
    StackTooDeep(u32),
    /// Bytes go one way or the other.
    UnknownDirection(u32),
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooShort { needed, got } => write!(f, "kernel record of {got} bytes, {needed} needed"),
            Self::UnknownKind(kind) => write!(f, "kernel record of unknown kind {kind}"),
            Self::UnknownWait(kind) => write!(f, "kernel record of a wait of unknown kind {kind}"),
            Self::StackTooDeep(n) => write!(f, "kernel record with {n} frames, which is more than are possible"),
            Self::UnknownDirection(number) => write!(f, "kernel record of a message in direction {number}"),
        }
    }
}

impl std::error::Error for DecodeError {}

pub(crate) fn read<const N: usize>(bytes: &[u8], offset: usize) -> Result<[u8; N], DecodeError> {
    let rest = bytes.get(offset..).and_then(<[u8]>::first_chunk::<N>);
    rest.copied().ok_or(DecodeError::TooShort { needed: offset + N, got: bytes.len() })
}

pub(crate) fn read_u16(bytes: &[u8], offset: usize) -> Result<u16, DecodeError> {
    read(bytes, offset).map(u16::from_ne_bytes)
}

pub(crate) fn read_u32(bytes: &[u8], offset: usize) -> Result<u32, DecodeError> {
    read(bytes, offset).map(u32::from_ne_bytes)
}

pub(crate) fn read_u64(bytes: &[u8], offset: usize) -> Result<u64, DecodeError> {
    read(bytes, offset).map(u64::from_ne_bytes)
}

pub(crate) fn put<const N: usize>(bytes: &mut [u8], offset: usize, value: [u8; N]) {
    if let Some(place) = bytes.get_mut(offset..).and_then(<[u8]>::first_chunk_mut::<N>) {
        *place = value;
    }
}
