//! The object of each supported processor, compiled on this machine whatever that is: they must hold the same programs and maps.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "../compile.rs"]
#[allow(dead_code, reason = "the hint on what to install is part of the error")]
mod compile;

use std::collections::BTreeMap;
use std::path::Path;

use aya_obj::{Map, Object};

/// Holds a copy of the registers, which are as many as the processor has.
const HOLDS_REGISTERS: &str = "scratch";

/// Compiles for a processor, and parses what comes of it.
fn object(target_arch: &str) -> Object {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("syncline-{target_arch}.bpf.o"));
    compile::compile(target_arch, &path).unwrap();
    Object::parse(&std::fs::read(path).unwrap()).unwrap()
}

/// Name to kind of hook and licence.
fn programs(object: &Object) -> BTreeMap<String, String> {
    let kind = |program: &aya_obj::Program| format!("{:?} {:?}", program.section, program.license);
    object.programs.iter().map(|(name, program)| (name.clone(), kind(program))).collect()
}

/// Name to type, and size of key, value and map.
fn maps(object: &Object) -> BTreeMap<String, [u32; 4]> {
    let shape = |map: &Map| [map.map_type(), map.key_size(), map.value_size(), map.max_entries()];
    object.maps.iter().map(|(name, map)| (name.clone(), shape(map))).collect()
}

#[test]
fn both_forms_have_the_same_programs_and_maps() {
    let [amd64, arm64] = ["x86_64", "aarch64"].map(object);
    assert!(programs(&amd64).len() > 20 && maps(&amd64).len() > 20);
    assert_eq!(programs(&arm64), programs(&amd64));
    let [mut ours, mut theirs] = [maps(&amd64), maps(&arm64)];
    let sizes = [&mut ours, &mut theirs].map(|maps| maps.remove(HOLDS_REGISTERS).unwrap()[2]);
    assert_eq!(theirs, ours);
    // 21 words on amd64, 36 on arm64.
    assert_eq!(sizes[1] - sizes[0], (36 - 21) * 8);
}

/// The embedded one is that of the processor that this is built for.
#[test]
fn the_embedded_object_is_that_of_this_processor() {
    let own = object(std::env::consts::ARCH);
    let embedded = Object::parse(syncline_bpf::OBJECT).unwrap();
    assert_eq!((programs(&embedded), maps(&embedded)), (programs(&own), maps(&own)));
}

#[test]
fn another_processor_is_refused_by_name() {
    let error = compile::compile("riscv64", Path::new("/nonexistent")).unwrap_err();
    assert!(error.contains("riscv64") && error.contains("x86_64 or aarch64"), "{error}");
}
