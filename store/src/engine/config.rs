//! The engine's two configuration files.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::answered;
use crate::users::{READER, ReaderLimits};

/// The user that writes. `default` is libchdb's own.
pub(super) const WRITER: &str = "syncline";

/// Server settings: a memory cap (the default is 0.9 of the machine), caches that fit below it, and scratch space in the data
/// directory rather than in `/var/lib/clickhouse`. What is inserted is on the disk before that is answered: whoever has it otherwise, an aggregator's
/// spool or Kafka's group, lets go of it then.
pub(super) fn server_xml(users: &Path, tmp: &Path, max_memory_bytes: u64) -> String {
    let cache = max_memory_bytes / 16;
    format!(
        "<clickhouse>
  <max_server_memory_usage>{max_memory_bytes}</max_server_memory_usage>
  <mark_cache_size>{cache}</mark_cache_size>
  <index_mark_cache_size>{cache}</index_mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <merge_tree>
    <fsync_after_insert>1</fsync_after_insert>
    <fsync_part_directory>1</fsync_part_directory>
  </merge_tree>
  <http_handlers>
{handlers}  </http_handlers>
  <tmp_path>{tmp}/</tmp_path>
  <users_config>{users}</users_config>
</clickhouse>
",
        handlers = answered::http_handlers(),
        tmp = escape(&tmp.to_string_lossy()),
        users = escape(&users.to_string_lossy()),
    )
}

/// Three users, all on the loopback only. `default` is what libchdb itself runs the child's query as; it needs no
/// password, so it is granted what that query needs and nothing else, and is [not answered](super::answered) over HTTP. The reader may select, inside of its limits. Whoever changes over to
/// another profile (`SET profile`) has its constraints from then on, unless his own forbid what it sets: so `default` sets something.
pub(super) fn users_xml(writer_password: &str, reader_password: &str, limits: ReaderLimits) -> String {
    format!(
        "<clickhouse>
  <profiles>
    <default><readonly>0</readonly></default>
    <{READER}>
{values}      <constraints>
{most}      </constraints>
    </{READER}>
  </profiles>
  <quotas>
    <default/>
    <{READER}><interval><duration>3600</duration>{quota}</interval></{READER}>
  </quotas>
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
    <{WRITER}>
      <password_sha256_hex>{writer_password}</password_sha256_hex>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
    </{WRITER}>
    <{READER}>
      <password_sha256_hex>{reader_password}</password_sha256_hex>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>{READER}</profile>
      <quota>{READER}</quota>
      <grants><query>GRANT SHOW, SELECT ON *.*</query></grants>
    </{READER}>
  </users>
</clickhouse>
",
        values = limits.settings().map(|(name, value, _)| format!("      <{name}>{value}</{name}>\n")).concat(),
        most = limits
            .settings()
            .map(|(name, _, most)| format!("        <{name}>{}</{name}>\n", constraint(most)))
            .concat(),
        quota = limits.quota().map(|(name, most)| format!("<{name}>{most}</{name}>")).concat(),
        writer_password = hash(writer_password),
        reader_password = hash(reader_password),
    )
}

/// As the configuration has it, which queries can read.
fn hash(password: &str) -> String {
    Sha256::digest(password).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn constraint(most: Option<u64>) -> String {
    // 0 would be no limit at all.
    most.map_or_else(|| "<const/>".to_owned(), |most| format!("<min>1</min><max>{most}</max>"))
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
