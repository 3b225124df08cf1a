//! The engine's two configuration files.

use std::path::Path;

/// The user that Syncline and its users log in as. `default` is libchdb's own.
pub(super) const USER: &str = "syncline";

/// Server settings: a memory cap (the default is 0.9 of the machine), caches that fit below it, and scratch space in the data
/// directory rather than in `/var/lib/clickhouse`.
pub(super) fn server_xml(users: &Path, tmp: &Path, max_memory_bytes: u64) -> String {
    let cache = max_memory_bytes / 16;
    format!(
        "<clickhouse>
  <max_server_memory_usage>{max_memory_bytes}</max_server_memory_usage>
  <mark_cache_size>{cache}</mark_cache_size>
  <index_mark_cache_size>{cache}</index_mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <tmp_path>{tmp}/</tmp_path>
  <users_config>{users}</users_config>
</clickhouse>
",
        tmp = escape(&tmp.to_string_lossy()),
        users = escape(&users.to_string_lossy()),
    )
}

/// Two users, both on the loopback only. `default` is what libchdb itself runs the child's query as; over HTTP it needs no
/// password, so it is granted what that query needs and nothing else.
pub(super) fn users_xml(password: &str) -> String {
    format!(
        "<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <users>
    <default>
      <no_password/>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <grants>
        <query>GRANT SYSTEM LISTEN ON *.*</query>
        <query>GRANT SELECT ON system.numbers</query>
      </grants>
    </default>
    <{USER}>
      <password>{password}</password>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <access_management>1</access_management>
    </{USER}>
  </users>
</clickhouse>
",
        password = escape(password),
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_cannot_break_out_of_the_xml() {
        let xml = server_xml(Path::new("/a&b<c>/users.xml"), Path::new("/tmp"), 1 << 30);
        assert!(xml.contains("<users_config>/a&amp;b&lt;c&gt;/users.xml</users_config>"), "{xml}");
    }
}
