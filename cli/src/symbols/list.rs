//! The builds in the store.

use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use super::ListArgs;
use crate::answer::{print_json, print_text};
use crate::args::{Format, StoreArgs};
use crate::colour::Palette;
use crate::skew::with_heading;
use crate::source::Source;
use crate::table::{Align, Table};

const BUILDS: &str = "SELECT build, services, executables, go_versions, stacks, addresses, unnamed, is_kept = 1 AS uploaded FROM builds \
    ORDER BY unnamed DESC, stacks DESC, build";

/// For programs.
#[derive(Serialize)]
struct Document {
    builds: Vec<Build>,
}

/// A build, as the store and as programs have it.
#[derive(Deserialize, Serialize)]
struct Build {
    /// 16 hexadecimal digits.
    build: String,
    services: Vec<String>,
    executables: Vec<String>,
    go_versions: Vec<String>,
    stacks: u64,
    /// Distinct ones on its stacks.
    addresses: u64,
    /// Those without a name.
    unnamed: u64,
    #[serde(deserialize_with = "number")]
    uploaded: bool,
}

pub(super) async fn run(store: &StoreArgs, args: &ListArgs) -> anyhow::Result<ExitCode> {
    let source = Source::open(store).await?;
    let builds = source.rows::<Build>(BUILDS, &[]).await;
    source.close().await?;
    let mut builds = builds?;
    builds.retain(|build| !args.unnamed || build.unnamed > 0);
    match args.format {
        Format::Text => print_text(|width, palette| text(&builds, width, palette))?,
        Format::Json => print_json(&Document { builds })?,
    }
    Ok(ExitCode::SUCCESS)
}

fn text(builds: &[Build], width: usize, palette: Palette) -> String {
    if builds.is_empty() {
        return "no such build is in the store\n".to_owned();
    }
    let mut table = Table::new(&[
        ("BUILD", Align::Left),
        ("SERVICE", Align::Left),
        ("GO", Align::Left),
        ("STACKS", Align::Right),
        ("ADDRESSES", Align::Right),
        ("UNNAMED", Align::Right),
        ("UPLOADED", Align::Left),
        ("EXECUTABLE", Align::Left),
    ]);
    for build in builds {
        table.push(&[
            build.build.clone(),
            build.services.join(", "),
            build.go_versions.join(", "),
            build.stacks.to_string(),
            build.addresses.to_string(),
            build.unnamed.to_string(),
            if build.uploaded { "yes" } else { "no" }.to_owned(),
            build.executables.join(", "),
        ]);
    }
    with_heading(&table, width, palette).iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

/// ClickHouse's truth is a number.
fn number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    u8::deserialize(deserializer).map(|number| number != 0)
}
