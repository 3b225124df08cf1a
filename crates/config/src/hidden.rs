//! Values that nobody is to see: written in the file, or somewhere that few can read.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// Bytes that a secret may have.
const MOST_BYTES: u64 = 64 << 10;

/// A secret, or where it is: `"text"`, `{ file = "PATH" }` or `{ env = "NAME" }`.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// It stands there.
    Written(String),
    /// It is all of this file, but for a line break at its end.
    File(PathBuf),
    /// It is the value of this variable.
    Variable(String),
}

/// Without what stands there.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written(_) => f.write_str("Written"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Variable(name) => f.debug_tuple("Variable").field(name).finish(),
        }
    }
}

impl Secret {
    /// Reads it.
    ///
    /// # Errors
    /// It is not there, empty, or no text. What is said does not have it.
    pub fn read(&self, environment: &dyn Fn(&str) -> Option<OsString>) -> Result<String, String> {
        let text = match self {
            Self::Written(text) => return Ok(text.clone()),
            Self::File(path) => of_file(path).map_err(|why| format!("{} cannot be read: {why}", path.display()))?,
            Self::Variable(name) => {
                let value = environment(name).ok_or_else(|| format!("the variable {name} is not set"))?;
                value.into_string().map_err(|_| format!("the variable {name} is no text in UTF-8"))?
            }
        };
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() { Err(format!("{} is empty", self.place())) } else { Ok(text.to_owned()) }
    }

    fn place(&self) -> String {
        match self {
            Self::Written(_) => "it".to_owned(),
            Self::File(path) => path.display().to_string(),
            Self::Variable(name) => format!("the variable {name}"),
        }
    }
}

fn of_file(path: &Path) -> Result<String, String> {
    // Opening a FIFO would wait for who writes it.
    let is_file = std::fs::metadata(path).map_err(|error| error.to_string())?.is_file();
    if !is_file {
        return Err("it is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes));
    file.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err("it is larger than 64 KiB".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "it is no text in UTF-8".to_owned())
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

/// Where a secret is.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Elsewhere {
    file: Option<PathBuf>,
    env: Option<String>,
}

struct SecretVisitor;

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, or a table with `file` or `env`")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Secret, E> {
        Ok(Secret::Written(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Secret, A::Error> {
        match Elsewhere::deserialize(MapAccessDeserializer::new(map))? {
            Elsewhere { file: Some(path), env: None } => Ok(Secret::File(path)),
            Elsewhere { file: None, env: Some(name) } => Ok(Secret::Variable(name)),
            _ => Err(serde::de::Error::custom("one of file and env is wanted here")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::Document;

    #[derive(Debug, Deserialize)]
    struct Top {
        url: Secret,
    }

    fn secret(text: &str) -> Result<Secret, String> {
        let document = Document::parse("a.toml", format!("url = {text}"), &["url"]).unwrap();
        document.read::<Top>(&["url"]).map(|top| top.url).map_err(|problem| problem.shown())
    }

    #[test]
    fn it_is_written_or_in_a_file_or_in_a_variable() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hook");
        std::fs::write(&path, "https://hooks.example/hunter2\n").unwrap();
        let environment = |name: &str| (name == "HOOK").then(|| OsString::from("https://a/hunter2"));
        let read = |text: &str| secret(text).and_then(|secret| secret.read(&environment));
        assert_eq!(read("\"http://a/x\"").unwrap(), "http://a/x");
        assert_eq!(read(&format!("{{ file = {path:?} }}")).unwrap(), "https://hooks.example/hunter2");
        assert_eq!(read("{ env = \"HOOK\" }").unwrap(), "https://a/hunter2");
        assert!(!format!("{:?}", secret("\"hunter2\"").unwrap()).contains("hunter2"));
    }

    #[test]
    fn what_cannot_be_read_is_told_without_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hook");
        let at = format!("{{ file = {path:?} }}");
        let told = |text: &str| secret(text).and_then(|secret| secret.read(&|_| None)).unwrap_err();
        assert!(told(&at).contains("hook cannot be read"), "{}", told(&at));
        std::fs::write(&path, "\n").unwrap();
        assert!(told(&at).contains("hook is empty"));
        std::fs::write(&path, b"hunter2\xff").unwrap();
        assert!(told(&at).contains("no text") && !told(&at).contains("hunter2"));
        assert!(told("{ file = \"/dev/zero\" }").contains("regular file"));
        assert_eq!(told("{ env = \"HOOK\" }"), "the variable HOOK is not set");
        for wrong in ["5", "[\"hunter2\"]", "{}", "{ fiel = \"hunter2\" }", "{ file = \"a\", env = \"hunter2\" }"] {
            let told = told(wrong);
            assert!(told.starts_with("a.toml:1:") && !told.contains("hunter2"), "{told}");
        }
    }
}
