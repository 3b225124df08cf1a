//! Whose waits are meant: the filters that the commands have in common.

use clap::Args;

/// Each leaves out what is not of it.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Whose {
    /// Only this service
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only this region
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// Only this node
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Only this process, by its id on its node
    #[arg(long, value_name = "PID", value_parser = process_id)]
    pid: Option<u32>,
}

/// A condition on rows as `t`, and the value that it names.
pub(crate) struct Condition {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) sql: &'static str,
}

impl Whose {
    pub(crate) fn conditions(&self) -> Vec<Condition> {
        let condition = |name, value: Option<String>, sql| value.map(|value| Condition { name, value, sql });
        let conditions = [
            condition("service", self.service.clone(), "t.service = {service:String}"),
            condition("region", self.region.clone(), "t.region = {region:String}"),
            condition("node", self.node.clone(), "t.node = {node:String}"),
            condition("pid", self.pid.map(|pid| pid.to_string()), "t.pid = {pid:UInt32}"),
        ];
        conditions.into_iter().flatten().collect()
    }

    /// For people.
    pub(crate) fn named(&self) -> Vec<String> {
        let named = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name} {value:?}"));
        let filters = [
            named("service", &self.service),
            named("region", &self.region),
            named("node", &self.node),
            self.pid.map(|pid| format!("process {pid}")),
        ];
        filters.into_iter().flatten().collect()
    }
}

/// A process id of Linux.
pub(crate) fn process_id(text: &str) -> Result<u32, String> {
    let id = text.parse().ok().filter(|id| *id > 0);
    id.ok_or_else(|| {
        "not a process id: a number, as `pgrep NAME` says on the node, and `syncline states` and `syncline timeline` of all nodes".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_name_their_values_and_people_read_them() {
        let whose = Whose { service: Some("'; DROP".to_owned()), pid: Some(7), ..Whose::default() };
        let conditions: Vec<_> =
            whose.conditions().into_iter().map(|found| (found.name, found.value, found.sql)).collect();
        let expected = [
            ("service", "'; DROP".to_owned(), "t.service = {service:String}"),
            ("pid", "7".to_owned(), "t.pid = {pid:UInt32}"),
        ];
        assert_eq!(conditions, expected);
        assert_eq!(whose.named(), ["service \"'; DROP\"", "process 7"]);
        assert!(Whose::default().named().is_empty() && Whose::default().conditions().is_empty());
    }

    #[test]
    fn a_process_id_is_a_number_and_where_to_find_it_is_said() {
        assert_eq!(process_id("4711"), Ok(4711));
        for text in ["x", "0", "-1", "4294967296"] {
            assert!(process_id(text).unwrap_err().contains("pgrep"), "{text}");
        }
    }
}
