//! What other tools publish of the formats that they open: tests hold what `syncline export` writes against it.
//!
//! Perfetto's messages as its Python package describes them, and speedscope's JSON schema. Perfetto's trace_processor is in no package.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::npm::{self, Package};
use crate::{place, process};

/// What tells the tests where they are.
pub(crate) const OVERRIDE: &str = "SYNCLINE_FORMATS";

const PERFETTO: &str = "0.59.1";
/// Of the package's only file, as PyPI publishes it.
const PERFETTO_SHA256: &str = "fde529ecdf28042112d452ed431d51b797b4eea1378c10d7d25af5d36db719a3";
const SPEEDSCOPE: Package = Package {
    name: "speedscope",
    version: "1.25.0",
    sha512: "cpf9HWTZf1ijLXBJrk87Ve/54tnYx6rlf0gUThvn3ook6h63hLXVOQiMf44PT+XoV503cPfvfiT5gP5vojp6Ag==",
};

/// A serialized `FileDescriptorProto` of `perfetto_trace.proto`.
const DESCRIPTORS: &str = "perfetto_trace.binpb";
const SCHEMA: &str = "speedscope-schema.json";

/// Takes the serialized descriptors out of the wheel, where they are a literal of Python. Nothing of the package is run.
const EXTRACT: &str = "
import ast, sys, zipfile
text = zipfile.ZipFile(sys.argv[1]).read('perfetto/protos/perfetto/trace/perfetto_trace_pb2.py').decode()
calls = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call) and getattr(n.func, 'attr', '') == 'AddSerializedFile']
open(sys.argv[2], 'wb').write(ast.literal_eval(calls[0].args[0]))
";

/// Says so where they cannot be had: tests without them are skipped.
pub(crate) fn ensure() {
    match path().and_then(|dir| fetch(&dir)) {
        Ok(()) => println!("have the formats of Perfetto {PERFETTO} and speedscope {}", SPEEDSCOPE.version),
        Err(error) => println!("not all formats of other tools, so some tests of exports are skipped: {error:#}"),
    }
}

/// Where they are, or will be once fetched.
///
/// # Errors
/// When there is no place for fetched files.
pub(crate) fn path() -> Result<PathBuf> {
    Ok(place::cache()?.join(format!("formats-{PERFETTO}-{}", SPEEDSCOPE.version)))
}

fn fetch(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}: set SYNCLINE_CACHE", dir.display()))?;
    put_in_place(dir, SCHEMA, fetch_schema)?;
    put_in_place(dir, DESCRIPTORS, fetch_descriptors)
}

/// The file appears under its name only when it is whole and checked.
fn put_in_place(dir: &Path, name: &str, fetch: impl FnOnce(&Path, &Path) -> Result<()>) -> Result<()> {
    let file = dir.join(name);
    if file.is_file() {
        return Ok(());
    }
    let scratch = tempfile::tempdir_in(dir).with_context(|| format!("cannot write in {}", dir.display()))?;
    let fresh = scratch.path().join(name);
    fetch(scratch.path(), &fresh)?;
    fs::rename(&fresh, &file).with_context(|| format!("cannot put {} in place", file.display()))?;
    println!("fetched {name} into {}", dir.display());
    Ok(())
}

fn fetch_schema(scratch: &Path, to: &Path) -> Result<()> {
    let package = SPEEDSCOPE.fetch(scratch).context("speedscope's schema cannot be fetched")?;
    npm::unpack(&package, "package/dist/release/file-format-schema.json", to)
}

/// pip itself checks the package against the sum.
fn fetch_descriptors(scratch: &Path, to: &Path) -> Result<()> {
    let wanted = scratch.join("wanted.txt");
    fs::write(&wanted, format!("perfetto=={PERFETTO} --hash=sha256:{PERFETTO_SHA256}\n"))?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes", "-r"]);
    pip.arg(&wanted).arg("-d").arg(scratch);
    process::capture(&mut pip).context("Perfetto's descriptors cannot be fetched; is there python3 with pip?")?;
    let wheel = scratch.join(format!("perfetto-{PERFETTO}-py3-none-any.whl"));
    process::capture(Command::new("python3").arg("-c").arg(EXTRACT).arg(&wheel).arg(to)).map(drop)
}
