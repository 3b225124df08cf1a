//! The files, in the order in which they are applied.

use super::split::statements;

/// A numbered file.
pub(super) struct Migration {
    pub(super) version: u32,
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
}

macro_rules! migration {
    ($version:literal, $name:literal) => {
        Migration { version: $version, name: $name, sql: include_str!(concat!("../../migrations/", $name, ".sql")) }
    };
}

/// In order of their versions, without gaps, never changed once released.
pub(super) const MIGRATIONS: &[Migration] = &[
    migration!(1, "0001_first_thread"),
    migration!(2, "0002_clock_states"),
    migration!(3, "0003_realignment"),
    migration!(4, "0004_probe_knots"),
    migration!(5, "0005_clock_claims"),
    migration!(6, "0006_regions"),
    migration!(7, "0007_waits"),
    migration!(8, "0008_processes"),
    migration!(9, "0009_tcp"),
    migration!(10, "0010_open_waits"),
    migration!(11, "0011_edges"),
    migration!(12, "0012_send_latency"),
    migration!(13, "0013_open_waits_before"),
    migration!(14, "0014_states"),
    migration!(15, "0015_open_traces"),
    migration!(16, "0016_binaries"),
    migration!(17, "0017_sites"),
    migration!(18, "0018_ledger"),
    migration!(19, "0019_observations"),
    migration!(20, "0020_alerts"),
    migration!(21, "0021_alert_deliveries"),
    migration!(22, "0022_comments"),
    migration!(23, "0023_rollups"),
    migration!(24, "0024_alert_leases"),
    migration!(25, "0025_less_and_sooner"),
    migration!(26, "0026_batch_claims"),
    migration!(27, "0027_clock_disruptions"),
    migration!(28, "0028_repeated_rows"),
    migration!(29, "0029_wide_windows"),
    migration!(30, "0030_comments_of_views"),
    migration!(31, "0031_alerts_that_last"),
];

/// Whether it is a view that some migration made, and not a table.
pub(super) fn is_view(name: &str) -> bool {
    MIGRATIONS.iter().any(|migration| migration.sql.contains(&format!("CREATE OR REPLACE VIEW {name} AS")))
}

/// The newest version that this program knows.
pub(crate) fn newest() -> u32 {
    MIGRATIONS.last().map_or(0, |migration| migration.version)
}

impl Migration {
    /// With the one that records it, at the end.
    pub(super) fn statements(&self) -> Vec<String> {
        let Self { version, name, sql } = self;
        let mut statements = statements(sql);
        statements.push(format!(
            "INSERT INTO schema_migrations (version, name, checksum) SETTINGS async_insert = 0 VALUES ({version}, '{name}', {})",
            checksum(sql)
        ));
        statements
    }
}

/// FNV-1a: it tells changed files, it does not defend against forged ones.
pub(super) fn checksum(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_count_up_from_one_and_match_their_files() {
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.version as usize, index + 1);
            assert!(migration.name.starts_with(&format!("{:04}_", migration.version)));
            assert!(!statements(migration.sql).is_empty());
        }
    }

    /// Databases were made with these: if one changes, all of them are refused.
    #[test]
    fn migrations_that_are_out_stay_as_they_are() {
        let out: &[u64] = &[
            0x9a8f_a004_a678_60a8,
            0x2677_ae59_15a1_7b26,
            0x07cd_e8e6_0ba2_7867,
            0x7495_6ea9_8ca3_75da,
            0x4163_9bc3_6724_3e87,
            0x9d2b_f012_850d_6044,
            0x4bd9_e737_359a_2029,
            0x4355_8e36_7580_fb14,
            0xfa46_906d_b1c8_2e25,
            0xbd3a_a703_79c5_2d58,
            0x67e8_b7fa_e3fb_e694,
            0x63fe_0bcf_5aae_62b5,
            0x9187_1dc0_cb26_4347,
            0x1de7_91c3_54c8_56d7,
            0xe48e_167b_e943_53bf,
            0x6245_9e9a_ab16_ec1d,
            0x9557_fa35_b1ea_8a9b,
            0x7bd4_bfd7_8ec9_f5a9,
            0x5775_1d75_031e_8bcb,
            0x76cc_a710_6384_1eed,
            0x92ab_0e17_d0ff_60fa,
            0x9436_4480_d3c8_7b84,
            0x135f_e3f0_97b1_b050,
            0x15b0_cddd_958e_b778,
            0x9cb6_8ec0_eb4e_d40e,
            0xe7a1_5b9a_788f_8fb5,
        ];
        let now: Vec<u64> = MIGRATIONS.iter().take(out.len()).map(|migration| checksum(migration.sql)).collect();
        assert_eq!(now, out);
        // With a release these go from here into the list above.
        let not_out = [
            "0027_clock_disruptions",
            "0028_repeated_rows",
            "0029_wide_windows",
            "0030_comments_of_views",
            "0031_alerts_that_last",
        ];
        let others: Vec<_> = MIGRATIONS.iter().skip(out.len()).map(|migration| migration.name).collect();
        assert_eq!(others, not_out, "each is either out or not");
    }

    #[test]
    fn the_checksum_is_fnv_1a() {
        assert_eq!(checksum(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(checksum("a"), 0xaf63_dc4c_8601_ec8c);
    }
}
