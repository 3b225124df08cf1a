//! Compiles the .proto files with protox, in Rust: no protoc is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["syncline/v1/batch.proto", "syncline/v1/collector.proto"];
    println!("cargo:rerun-if-changed=syncline");
    let descriptors = protox::compile(files, ["."])?;
    tonic_prost_build::configure().bytes(".syncline.v1.IngestRequest").compile_fds(descriptors)?;
    Ok(())
}
