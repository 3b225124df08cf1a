//! One column of a block and its bytes.
//!
//! The Native format (revision 0, which HTTP uses) writes fixed-size numbers little-endian and back to back, a string as a
//! LEB128 length and its bytes, an array as all cumulative ends (u64) and then all elements, a map as an array of pairs held
//! as two columns. `LowCardinality` is written as its dictionary plus indexes; see [`LowCardinality`].

use std::collections::HashMap;

/// The values of one column. The ClickHouse type each is sent as is in its documentation; where the table's type differs,
/// ClickHouse converts on insert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// `UInt8`
    U8(Vec<u8>),
    /// `UInt16`
    U16(Vec<u16>),
    /// `UInt32`
    U32(Vec<u32>),
    /// `UInt64`
    U64(Vec<u64>),
    /// `UInt128`
    U128(Vec<u128>),
    /// `Int8`
    I8(Vec<i8>),
    /// `Int16`
    I16(Vec<i16>),
    /// `Int32`
    I32(Vec<i32>),
    /// `Int64`
    I64(Vec<i64>),
    /// `String`
    String(Vec<String>),
    /// `String`, which ClickHouse takes any bytes for.
    Bytes(Vec<Vec<u8>>),
    /// `IPv6`, the bytes in network order; IPv4 as `::ffff:a.b.c.d`.
    Ipv6(Vec<[u8; 16]>),
    /// `FixedString(16)`
    FixedString16(Vec<[u8; 16]>),
    /// `LowCardinality(String)`
    LowCardinality(LowCardinality),
    /// `Array(UInt64)`
    ArrayU64(Arrays),
    /// `DateTime('UTC')`: whole seconds since 1970.
    DateTime(Vec<u32>),
    /// `DateTime64(9, 'UTC')`: nanoseconds since 1970.
    DateTime64(Vec<i64>),
    /// Sent as `Int8`; ClickHouse converts it to the column's `Enum8`.
    Enum8(Vec<i8>),
    /// `Map(String, UInt64)`
    MapU64(Vec<Vec<(String, u64)>>),
}

/// Arrays of unequal lengths in two flat vectors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrays {
    ends: Vec<u64>,
    values: Vec<u64>,
}

impl Arrays {
    /// Appends one array.
    pub fn push(&mut self, array: &[u64]) {
        self.values.extend_from_slice(array);
        self.ends.push(self.values.len() as u64);
    }

    /// The number of arrays.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no array.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// Strings of which few are distinct: a dictionary and one index per row, in memory as on the wire. A batch's region, node and
/// service are mostly one value, which then costs one index per row and one dictionary lookup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LowCardinality {
    keys: Vec<String>,
    by_key: HashMap<String, u32>,
    indexes: Vec<u32>,
}

impl LowCardinality {
    /// `rows` rows of one value.
    #[must_use]
    pub fn constant(value: &str, rows: usize) -> Self {
        let mut column = Self::default();
        if rows > 0 {
            let index = column.intern(value);
            column.indexes.resize(rows, index);
        }
        column
    }

    /// Appends a row.
    pub fn push(&mut self, value: &str) {
        let index = self.intern(value);
        self.indexes.push(index);
    }

    /// The value of the first row.
    pub(crate) fn first(&self) -> Option<&str> {
        self.keys.get(*self.indexes.first()? as usize).map(String::as_str)
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.indexes.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.indexes.is_empty()
    }

    fn intern(&mut self, value: &str) -> u32 {
        if let Some(index) = self.by_key.get(value) {
            return *index;
        }
        // More than 2^32 distinct strings do not fit in memory.
        let index = self.keys.len() as u32;
        self.keys.push(value.to_owned());
        self.by_key.insert(value.to_owned(), index);
        index
    }

    /// `SharedDictionariesWithAdditionalKeys`: a version, the index type with flags, the keys, the indexes.
    fn encode(&self, out: &mut Vec<u8>) {
        const VERSION: u64 = 1;
        const HAS_ADDITIONAL_KEYS: u64 = 1 << 9;
        const NEED_UPDATE_DICTIONARY: u64 = 1 << 10;
        const INDEX_U8: u64 = 0;
        const INDEX_U32: u64 = 2;
        let narrow = u8::try_from(self.keys.len()).is_ok();
        let index_type = if narrow { INDEX_U8 } else { INDEX_U32 };
        for number in [VERSION, index_type | HAS_ADDITIONAL_KEYS | NEED_UPDATE_DICTIONARY, self.keys.len() as u64] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        self.keys.iter().for_each(|key| put_string(out, key));
        out.extend_from_slice(&(self.indexes.len() as u64).to_le_bytes());
        if narrow {
            out.extend(self.indexes.iter().map(|index| *index as u8));
        } else {
            out.extend(self.indexes.iter().flat_map(|index| index.to_le_bytes()));
        }
    }
}

impl<S: AsRef<str>> FromIterator<S> for LowCardinality {
    fn from_iter<I: IntoIterator<Item = S>>(values: I) -> Self {
        let mut column = Self::default();
        values.into_iter().for_each(|value| column.push(value.as_ref()));
        column
    }
}

impl<'a> FromIterator<&'a [u64]> for Arrays {
    fn from_iter<I: IntoIterator<Item = &'a [u64]>>(arrays: I) -> Self {
        let mut all = Self::default();
        arrays.into_iter().for_each(|array| all.push(array));
        all
    }
}

macro_rules! put_numbers {
    ($out:expr, $values:expr) => {
        $out.extend($values.iter().flat_map(|value| value.to_le_bytes()))
    };
}

impl Column {
    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::U8(v) => v.len(),
            Self::U16(v) => v.len(),
            Self::U32(v) | Self::DateTime(v) => v.len(),
            Self::U64(v) => v.len(),
            Self::U128(v) => v.len(),
            Self::I8(v) | Self::Enum8(v) => v.len(),
            Self::I16(v) => v.len(),
            Self::I32(v) => v.len(),
            Self::I64(v) | Self::DateTime64(v) => v.len(),
            Self::String(v) => v.len(),
            Self::Bytes(v) => v.len(),
            Self::Ipv6(v) => v.len(),
            Self::FixedString16(v) => v.len(),
            Self::LowCardinality(v) => v.len(),
            Self::ArrayU64(v) => v.len(),
            Self::MapU64(v) => v.len(),
        }
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn native_type(&self) -> &'static str {
        match self {
            Self::U8(_) => "UInt8",
            Self::U16(_) => "UInt16",
            Self::U32(_) => "UInt32",
            Self::U64(_) => "UInt64",
            Self::U128(_) => "UInt128",
            Self::I8(_) | Self::Enum8(_) => "Int8",
            Self::I16(_) => "Int16",
            Self::I32(_) => "Int32",
            Self::I64(_) => "Int64",
            Self::String(_) | Self::Bytes(_) => "String",
            Self::Ipv6(_) => "IPv6",
            Self::FixedString16(_) => "FixedString(16)",
            Self::LowCardinality(_) => "LowCardinality(String)",
            Self::ArrayU64(_) => "Array(UInt64)",
            Self::DateTime(_) => "DateTime('UTC')",
            Self::DateTime64(_) => "DateTime64(9, 'UTC')",
            Self::MapU64(_) => "Map(String, UInt64)",
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::U8(v) => out.extend_from_slice(v),
            Self::U16(v) => put_numbers!(out, v),
            Self::U32(v) | Self::DateTime(v) => put_numbers!(out, v),
            Self::U64(v) => put_numbers!(out, v),
            Self::U128(v) => put_numbers!(out, v),
            Self::I8(v) | Self::Enum8(v) => put_numbers!(out, v),
            Self::I16(v) => put_numbers!(out, v),
            Self::I32(v) => put_numbers!(out, v),
            Self::I64(v) | Self::DateTime64(v) => put_numbers!(out, v),
            Self::String(v) => v.iter().for_each(|text| put_string(out, text)),
            Self::Bytes(v) => v.iter().for_each(|bytes| put_bytes(out, bytes)),
            Self::Ipv6(v) => out.extend(v.iter().flatten()),
            Self::FixedString16(v) => out.extend_from_slice(v.as_flattened()),
            Self::LowCardinality(v) => v.encode(out),
            Self::ArrayU64(v) => {
                put_numbers!(out, v.ends);
                put_numbers!(out, v.values);
            }
            Self::MapU64(v) => put_maps(out, v),
        }
    }
}

fn put_maps(out: &mut Vec<u8>, maps: &[Vec<(String, u64)>]) {
    let mut end = 0u64;
    for map in maps {
        end += map.len() as u64;
        out.extend_from_slice(&end.to_le_bytes());
    }
    maps.iter().flatten().for_each(|(key, _)| put_string(out, key));
    maps.iter().flatten().for_each(|(_, value)| out.extend_from_slice(&value.to_le_bytes()));
}

pub(super) fn put_string(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// LEB128.
pub(super) fn put_length(out: &mut Vec<u8>, length: usize) {
    let mut rest = length;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_leb128() {
        let mut out = Vec::new();
        for length in [0, 127, 128, 300] {
            put_length(&mut out, length);
        }
        assert_eq!(out, [0, 127, 0x80, 1, 0xAC, 2]);
    }

    #[test]
    fn a_repeated_value_is_one_key() {
        let column = ["a", "b", "a"].into_iter().collect::<LowCardinality>();
        assert_eq!(column.keys, ["a", "b"]);
        assert_eq!(column.indexes, [0, 1, 0]);
        assert_eq!(LowCardinality::constant("a", 2), ["a", "a"].into_iter().collect());
        assert!(LowCardinality::constant("a", 0).keys.is_empty());
    }
}
