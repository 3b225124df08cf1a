//! Rows as JSON, whether the server quotes wide integers or not: that is a setting, which a user that may only read (`readonly = 1`) cannot change.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Value};

use crate::StoreError;

/// The rows of an answer in `JSONEachRow`; `of` says what they are of where they are none.
pub(crate) fn rows<T: DeserializeOwned>(answer: &[u8], of: &str) -> Result<Vec<T>, StoreError> {
    let rows = serde_json::Deserializer::from_slice(answer).into_iter::<Value>();
    let rows = rows.map(|row| row.and_then(|row| T::deserialize(Lenient(row))));
    rows.collect::<Result<_, _>>().map_err(|error| StoreError::Protocol { reason: format!("of {of}: {error}") })
}

/// A value whose numbers may be quoted, where numbers are wanted.
struct Lenient(Value);

impl Lenient {
    fn unquoted(self) -> Value {
        match self.0 {
            Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
            value => value,
        }
    }
}

impl IntoDeserializer<'_, Error> for Lenient {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.unquoted().$method(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Lenient {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(Lenient))),
            Value::Object(fields) => {
                visitor.visit_map(MapDeserializer::new(fields.into_iter().map(|(key, value)| (key, Lenient(value)))))
            }
            value => value.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_f32 deserialize_f64
    }

    forward_to_deserialize_any! {
        bool i128 u128 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Row {
        name: String,
        wide: u64,
        pair: (i64, Option<u8>),
    }

    #[test]
    fn numbers_are_read_quoted_or_not_and_texts_stay_texts() {
        let bare = br#"{"name": "7", "wide": 18446744073709551615, "pair": [-1, null]}"#;
        let quoted = br#"{"name": "7", "wide": "18446744073709551615", "pair": ["-1", 2]}"#;
        let row = |second| Row { name: "7".to_owned(), wide: u64::MAX, pair: (-1, second) };
        assert_eq!(rows::<Row>(bare, "rows").unwrap(), [row(None)]);
        assert_eq!(rows::<Row>(&[&quoted[..], b"\n", bare].concat(), "rows").unwrap(), [row(Some(2)), row(None)]);
        for wrong in [&br#"{"name": "7", "wide": "x", "pair": [1, 2]}"#[..], b"{", br#"{"name": 7}"#] {
            let error = rows::<Row>(wrong, "rows").unwrap_err().to_string();
            assert!(error.contains("of rows"), "{error}");
        }
    }
}
