//! An executable into the store, and names from it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;
use syncline_gosym::GoBinary;
use syncline_store::{ADDRESSES_AT_ONCE, Binary, MOST_BINARY_BYTES, Names, Role, Store, StoreError};

use super::UploadArgs;
use crate::answer::print_json;
use crate::args::{Format, StoreArgs};
use crate::failure::usage;
use crate::source::{explain, open_store};

/// What was done.
#[derive(Serialize)]
struct Upload {
    /// 16 hexadecimal digits.
    build: String,
    go_version: String,
    module: Option<String>,
    /// False: an executable of the build was kept already.
    kept: bool,
    /// Addresses that had no name.
    unnamed: usize,
    /// Those that have one now.
    named: usize,
}

pub(super) async fn run(store: &StoreArgs, args: &UploadArgs) -> anyhow::Result<ExitCode> {
    let path = &args.binary;
    let bytes = read(path)?;
    let refused = |error: syncline_gosym::Error| usage(format!("{}: {error}", path.display()));
    let binary = GoBinary::parse(&bytes).map_err(refused)?;
    // It would be kept for nothing.
    binary.symbolizer().map_err(refused)?;
    let store = open_store(store, Role::Writer).await?;
    let done = upload(&store, args, &bytes, &binary).await;
    store.close().await?;
    let done = done?;
    match args.format {
        Format::Text => writeln!(io::stdout().lock(), "{}", text(&done))?,
        Format::Json => print_json(&done)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let cannot = || format!("cannot read {}", path.display());
    let file = File::open(path).with_context(cannot)?;
    if !file.metadata().with_context(cannot)?.is_file() {
        return Err(usage(format!("{} is not a file: name the Go executable", path.display())));
    }
    let (mut bytes, most) = (Vec::new(), MOST_BINARY_BYTES as u64);
    file.take(most + 1).read_to_end(&mut bytes).with_context(cannot)?;
    if bytes.len() > MOST_BINARY_BYTES {
        let (path, most) = (path.display(), most >> 20);
        return Err(usage(format!("{path} is larger than {most} MiB: strip it of what debuggers need (strip -g)")));
    }
    Ok(bytes)
}

async fn upload(store: &Store, args: &UploadArgs, bytes: &[u8], binary: &GoBinary<'_>) -> anyhow::Result<Upload> {
    let explain = |error| explain(store, error);
    let build_id = binary.build_id();
    if !args.ahead && !is_known(store, build_id).await.map_err(explain)? {
        return Err(usage(format!(
            "nothing in the store is of the build of {} ({build_id:016x}, {}): `syncline symbols list` shows those that are; --ahead takes it for what is to come",
            args.binary.display(),
            binary.version().text
        )));
    }
    let name = args.binary.file_name().unwrap_or_default().to_string_lossy();
    let kept = Binary { build_id, name: &name, go_version: &binary.version().text, bytes };
    let kept = store.keep_binary(&kept).await.map_err(explain)?;
    let (mut unnamed, mut named, mut last) = (0, 0, None);
    loop {
        let pcs = store.unnamed_addresses(build_id, last).await.map_err(explain)?;
        let names = Names::of(build_id, binary, &pcs);
        unnamed += pcs.len();
        if names.addresses() > 0 {
            named += names.addresses();
            store.name_addresses(names).await.map_err(explain)?;
        }
        if pcs.len() < ADDRESSES_AT_ONCE {
            break;
        }
        last = pcs.last().copied();
    }
    Ok(Upload {
        build: format!("{build_id:016x}"),
        go_version: binary.version().text.clone(),
        module: binary.module_path().map(str::to_owned),
        kept,
        unnamed,
        named,
    })
}

async fn is_known(store: &Store, build_id: u64) -> Result<bool, StoreError> {
    let sql = format!(
        "SELECT count() FROM builds WHERE build_id = {build_id} AND (stacks > 0 OR notEmpty(services) OR is_kept)"
    );
    Ok(store.query_text(&sql, "TSV").await?.trim_ascii() != b"0")
}

fn text(done: &Upload) -> String {
    let Upload { build, go_version, module, kept, unnamed, named } = done;
    let module = module.as_ref().map(|module| format!("{module}, ")).unwrap_or_default();
    let kept = if *kept { "kept for what comes" } else { "was kept already" };
    let left = match unnamed - named {
        0 => String::new(),
        left => format!("; {left} of no Go function"),
    };
    format!(
        "build {build} ({module}{go_version}) {kept}; {named} of {unnamed} addresses without a name have one now{left}"
    )
}
