//! Apache Kafka for the tests and the demo, from its Maven packages: a broker in one process of Java.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha512};

use super::apt;
use crate::{place, process};

/// What tells the tests where its jars are.
pub(crate) const OVERRIDE: &str = "SYNCLINE_KAFKA";

const VERSION: &str = "4.1.0";
/// Of a line `SHA-512 in hex, two spaces, name` for each jar, by name: as `sha512sum` prints it.
const SHA512: &str = "qXvGSXVboDmA4yF76Xk3w9C8i7sIqz331ZLeUfjkz4fQ/DyBZYc39rWWiY1SKCDoxhCYqTxwDIWadPTaXLqzAA==";

/// Kafka's own manifest pins what it needs.
const MANIFEST: &str = "\
<project xmlns=\"http://maven.apache.org/POM/4.0.0\">
  <modelVersion>4.0.0</modelVersion>
  <groupId>syncline</groupId><artifactId>kafka-for-tests</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>@VERSION@</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
";

/// Says so where it cannot be had: tests on a real broker are skipped without it.
pub(crate) fn ensure() {
    match required() {
        Ok(dir) => println!("have Apache Kafka {VERSION} ({})", dir.display()),
        Err(error) => println!("no Apache Kafka, so tests on a real broker are skipped: {error:#}"),
    }
}

/// Where its jars are, fetched if need be.
///
/// # Errors
/// When there is no Java, or the jars cannot be fetched, or are not what was published.
pub(crate) fn required() -> Result<PathBuf> {
    if !process::is_installed("java") {
        apt::install("java", &["default-jre-headless"])?;
    }
    let dir = path()?;
    if !dir.is_dir() {
        if env::var_os(OVERRIDE).is_some() {
            bail!("{OVERRIDE} names {}, which is no directory: correct it, or unset it to fetch Kafka", dir.display());
        }
        fetch(&dir).with_context(|| format!("Apache Kafka {VERSION} cannot be fetched"))?;
        println!("fetched Apache Kafka {VERSION} into {}", dir.display());
    }
    Ok(dir)
}

/// Where its jars are, or will be once fetched.
///
/// # Errors
/// When there is no place for fetched files.
pub(crate) fn path() -> Result<PathBuf> {
    match env::var_os(OVERRIDE) {
        Some(dir) => Ok(PathBuf::from(dir)),
        None => Ok(place::cache()?.join(format!("kafka-{VERSION}"))),
    }
}

/// The directory appears under its name only when it is whole and checked.
fn fetch(dir: &Path) -> Result<()> {
    if !process::is_installed("mvn") {
        apt::install("mvn", &["maven"])?;
    }
    let cache = dir.parent().context("a directory has a parent")?;
    fs::create_dir_all(cache).with_context(|| format!("cannot create {}: set SYNCLINE_CACHE", cache.display()))?;
    let scratch = tempfile::tempdir_in(cache).with_context(|| format!("cannot write in {}", cache.display()))?;
    fs::write(scratch.path().join("pom.xml"), MANIFEST.replace("@VERSION@", VERSION))?;
    let jars = scratch.path().join("jars");
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime"]);
    maven.arg(format!("-DoutputDirectory={}", jars.display())).current_dir(scratch.path());
    process::capture(&mut maven).context("check the network and Maven's settings")?;
    let found = sum_of(&jars)?;
    if found != SHA512 {
        bail!(
            "the jars are not what was published: sha512 {found}, expected {SHA512}; nothing was kept, check Maven's settings"
        );
    }
    fs::rename(&jars, dir).with_context(|| format!("cannot put {} in place", dir.display()))
}

/// The base64 of the SHA-512 over names and sums of all files.
fn sum_of(dir: &Path) -> Result<String> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    let mut hasher = Sha512::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let sum = Sha512::digest(fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
        let hex: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
        hasher.update(format!("{hex}  {name}\n"));
    }
    Ok(BASE64.encode(hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_of_names_and_contents() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
        put("b.jar", b"2");
        put("a.jar", b"1");
        let both = sum_of(dir.path()).unwrap();
        assert_eq!(both, sum_of(dir.path()).unwrap());
        put("b.jar", b"3");
        assert_ne!(sum_of(dir.path()).unwrap(), both);
        fs::rename(dir.path().join("b.jar"), dir.path().join("c.jar")).unwrap();
        put("c.jar", b"2");
        assert_ne!(sum_of(dir.path()).unwrap(), both, "another name");
    }
}
