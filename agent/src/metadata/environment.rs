//! What the environment of a process says of it. Pure.

use percent_encoding::percent_decode_str;

/// The environment that a program was started with, as `/proc/PID/environ` shows it: entries that each end with a zero byte.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment(Vec<u8>);

impl Environment {
    /// Of these bytes, of which the last entry may be cut off.
    pub(super) fn new(mut bytes: Vec<u8>) -> Self {
        let end = bytes.iter().rposition(|byte| *byte == 0).map_or(0, |last| last + 1);
        bytes.truncate(end);
        Self(bytes)
    }

    /// The value of a variable; none if it is not set, or empty. What is not UTF-8 in it is replaced.
    pub(super) fn value(&self, variable: &str) -> Option<String> {
        let value = |entry: &[u8]| {
            let value = entry.strip_prefix(variable.as_bytes())?.strip_prefix(b"=")?;
            (!value.is_empty()).then(|| String::from_utf8_lossy(value).into_owned())
        };
        self.0.split(|byte| *byte == 0).find_map(value)
    }

    /// The value of the first of these variables that is set.
    pub(super) fn first(&self, variables: &[&str]) -> Option<String> {
        variables.iter().find_map(|variable| self.value(variable))
    }

    /// What `OTEL_RESOURCE_ATTRIBUTES` says.
    pub(super) fn resource_attributes(&self) -> ResourceAttributes {
        self.value("OTEL_RESOURCE_ATTRIBUTES").and_then(|text| ResourceAttributes::parse(&text)).unwrap_or_default()
    }
}

/// Attributes of a resource: `key=value,key=value`, percent-encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ResourceAttributes(Vec<(String, String)>);

impl ResourceAttributes {
    /// As OpenTelemetry's "Resource SDK, Specifying resource information via an environment variable" says: anything that is
    /// wrong spoils the whole text. Blanks around keys and values do not belong to them, and empty members are passed over
    /// (W3C Baggage).
    fn parse(text: &str) -> Option<Self> {
        let members = text.split(',').map(str::trim).filter(|member| !member.is_empty());
        let attribute = |member: &str| {
            let (key, value) = member.split_once('=')?;
            let (key, value) = (decoded(key.trim())?, decoded(value.trim())?);
            (!key.is_empty()).then_some((key, value))
        };
        members.map(attribute).collect::<Option<_>>().map(Self)
    }

    /// The value of an attribute, the last one if there are several; none if it is empty.
    pub(super) fn value(&self, key: &str) -> Option<String> {
        let found = self.0.iter().rev().find(|(name, _)| name == key);
        found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    }
}

/// None if there is a `%` without two digits, or what comes out is no UTF-8.
fn decoded(text: &str) -> Option<String> {
    let has_digits = |after: &str| after.as_bytes().get(..2).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    if !text.split('%').skip(1).all(has_digits) {
        return None;
    }
    Some(percent_decode_str(text).decode_utf8().ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(bytes: &[u8]) -> Environment {
        Environment::new(bytes.to_vec())
    }

    #[test]
    fn a_variable_is_found_by_its_whole_name_and_an_empty_one_is_none() {
        let found = environment(b"XA=no\0A2=no\0A=\0B=x=y\0C=\xff\0");
        assert_eq!((found.value("A"), found.value("B").as_deref()), (None, Some("x=y")));
        assert_eq!(found.first(&["A", "C", "B"]).as_deref(), Some("\u{fffd}"));
    }

    #[test]
    fn an_entry_that_was_cut_off_is_left_out() {
        assert_eq!(environment(b"A=1\0B=23").value("B"), None);
        assert_eq!(environment(b"A=1").value("A"), None);
    }

    #[test]
    fn attributes_are_decoded() {
        let attributes = ResourceAttributes::parse(
            " service.name=check%20out , k8s.pod.name = web-1,,x%2Cy=a%3Db%2Cc,u=%C3%BC,e=,eq=a=b,x=1,x=2",
        );
        let attributes = attributes.unwrap();
        let value = |key| attributes.value(key);
        assert_eq!(value("service.name").as_deref(), Some("check out"));
        assert_eq!(value("k8s.pod.name").as_deref(), Some("web-1"));
        assert_eq!(value("x,y").as_deref(), Some("a=b,c"));
        assert_eq!((value("u").as_deref(), value("eq").as_deref()), (Some("ü"), Some("a=b")));
        assert_eq!((value("e"), value("x").as_deref(), value("none")), (None, Some("2"), None));
        assert_eq!(ResourceAttributes::parse(""), Some(ResourceAttributes::default()));
    }

    #[test]
    fn one_wrong_attribute_spoils_them_all() {
        for text in ["a=1,b", "a=1,=2", "a=%", "a=%2", "a=%zz", "a=%+1", "a=%ff", "a=1;b%"] {
            assert_eq!(ResourceAttributes::parse(text), None, "{text}");
        }
        let spoilt = environment(b"OTEL_RESOURCE_ATTRIBUTES=service.name=x,y\0");
        assert_eq!(spoilt.resource_attributes().value("service.name"), None);
    }
}
