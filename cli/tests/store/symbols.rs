//! `symbols` on a database of its own, with a real Go program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use syncline_gosym::GoBinary;

use crate::cases::{Case, cases};
use crate::fixture::{Fixture, SYMBOLS};

pub(crate) const ALL: &[Case] =
    cases![addresses_are_named_from_an_uploaded_binary, what_is_no_binary_of_a_build_is_refused];

/// The program, built by `go`.
fn program(dir: &Path, flags: &str) -> PathBuf {
    let path = dir.join("shop");
    let built = Command::new("go")
        .args(["build", "-trimpath", flags, "-o"])
        .arg(&path)
        .arg(".")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/program"))
        .envs([("GOTOOLCHAIN", "go1.27.3"), ("CGO_ENABLED", "0"), ("GOFLAGS", "-buildvcs=false")])
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    path
}

/// A return address in a function.
fn address_in(binary: &GoBinary<'_>, function: &str) -> u64 {
    let (text, symbolizer) = (binary.text_segment(), binary.symbolizer().unwrap());
    let mut addresses = (text.vaddr..text.vaddr + text.size).step_by(16);
    let is_in = |pc: &u64| symbolizer.function_at(*pc).is_some_and(|found| found.name == function);
    addresses.find(is_in).unwrap() + 1
}

fn ask(fixture: &Fixture, sql: &str) -> String {
    fixture.answer(&["--database", SYMBOLS, "sql", "--format", "TSV", sql]).trim_end().to_owned()
}

fn builds(fixture: &Fixture, more: &[&str]) -> Vec<Value> {
    let list = ["--database", SYMBOLS, "symbols", "list", "--format", "json"];
    let document: Value = serde_json::from_str(&fixture.answer(&[&list[..], more].concat())).unwrap();
    document["builds"].as_array().unwrap().clone()
}

fn addresses_are_named_from_an_uploaded_binary(fixture: &Fixture) {
    let dir = tempfile::tempdir().unwrap();
    let path = program(dir.path(), "-ldflags=");
    let bytes = fs::read(&path).unwrap();
    let binary = GoBinary::parse(&bytes).unwrap();
    let [serve, main] = ["main.serve", "main.main"].map(|function| address_in(&binary, function));
    let (build_id, build) = (binary.build_id(), format!("{:016x}", binary.build_id()));
    // An agent that could read nothing; the last address is of no Go function.
    fixture.fill(
        SYMBOLS,
        &[
            format!("INSERT INTO stacks VALUES (1, {build_id}, [{serve}, {main}], 1), (2, {build_id}, [{main}, 5], 1), (3, 9, [1], 1)"),
            format!("INSERT INTO processes (build_id, service, executable, go_version, seen) VALUES ({build_id}, 'shop', '/srv/shop', 'go1.27.3', now())"),
        ],
    );
    let unnamed = builds(fixture, &["--unnamed"]);
    assert_eq!((unnamed.len(), &unnamed[0]["build"], &unnamed[0]["unnamed"]), (2, &build.clone().into(), &3.into()));
    assert_eq!((&unnamed[0]["services"][0], &unnamed[0]["uploaded"]), (&"shop".into(), &false.into()));

    // Any copy of the build will do.
    let stripped = dir.path().join("stripped");
    assert!(Command::new("strip").arg("-o").args([&stripped, &path]).status().unwrap().success());
    let upload = |path: &Path| fixture.answer(&["--database", SYMBOLS, "symbols", "upload", path.to_str().unwrap()]);
    let first = upload(&stripped);
    assert_eq!(
        first,
        format!(
            "build {build} (example.com/shop, go1.27.3) kept for what comes; 2 of 3 addresses without a name have one now; 1 of no Go function\n"
        )
    );
    let frames = ask(fixture, "SELECT frames FROM stacks_named WHERE stack_id < 3 ORDER BY stack_id");
    assert!(frames.contains("main.serve ") && frames.contains("main.main ") && frames.contains("'0x05'"), "{frames}");
    let all = "SELECT (SELECT count() FROM symbols), (SELECT count() FROM binaries), (SELECT sum(length(bytes)) FROM binaries)";
    let stored = ask(fixture, all);
    assert!(stored.ends_with(&fs::metadata(&stripped).unwrap().len().to_string()), "{stored}");
    let second = upload(&path);
    assert!(second.contains("was kept already; 0 of 1 addresses"), "{second}");
    assert_eq!(ask(fixture, all), stored, "it changed nothing");
    let named = &builds(fixture, &[])[..];
    let of_it = named.iter().find(|entry| entry["build"] == build.as_str()).unwrap();
    assert_eq!((&of_it["unnamed"], &of_it["uploaded"], &of_it["addresses"]), (&1.into(), &true.into(), &3.into()));
    let table = fixture.answer(&["--database", SYMBOLS, "symbols", "list"]);
    assert!(table.lines().any(|line| line.starts_with(&build) && line.contains("  yes  ")), "{table}");
}

fn what_is_no_binary_of_a_build_is_refused(fixture: &Fixture) {
    let dir = tempfile::tempdir().unwrap();
    let path = program(dir.path(), "-ldflags=-s -w");
    let refusal = |path: &Path, code| {
        fixture.refusal(&["--database", SYMBOLS, "symbols", "upload", path.to_str().unwrap()], code)
    };
    let write = |name: &str, bytes: &[u8]| {
        fs::write(dir.path().join(name), bytes).unwrap();
        dir.path().join(name)
    };
    let whole = fs::read(&path).unwrap();
    let cut = write("cut", &whole[..whole.len() * 2 / 3]);
    // As obfuscators leave it: nothing says any more where the function table begins.
    let table = [0xf1, 0xff, 0xff, 0xff, 0, 0];
    let mut obfuscated = whole.clone();
    let starts: Vec<_> = whole.windows(table.len()).enumerate().filter(|(_, bytes)| *bytes == table).collect();
    starts.iter().for_each(|(place, _)| obfuscated[*place] = 0);
    let obfuscated = write("obfuscated", &obfuscated);
    for (path, part, code) in [
        (Path::new(env!("CARGO_MANIFEST_PATH")), "not an ELF file", 2),
        (Path::new("/bin/true"), "not a Go binary", 2),
        (&cut, "truncated or damaged", 2),
        (&write("empty", b""), "not an ELF file", 2),
        (&obfuscated, "obfuscated or damaged", 2),
        (dir.path(), "is not a file", 2),
        (&dir.path().join("missing"), "cannot read", 1),
        (&path, "nothing in the store is of the build of", 2),
    ] {
        let error = refusal(path, code);
        assert!(error.contains(part) && error.contains(path.to_str().unwrap()), "{error}");
    }
    let ahead = ["--database", SYMBOLS, "symbols", "upload", "--ahead", "--format", "json", path.to_str().unwrap()];
    let done: Value = serde_json::from_str(&fixture.answer(&ahead)).unwrap();
    assert_eq!((&done["kept"], &done["unnamed"], &done["go_version"]), (&true.into(), &0.into(), &"go1.27.3".into()));
}
