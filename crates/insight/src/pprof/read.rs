//! Go's own block profile, as `runtime/pprof` writes it. It comes from outside: what is wrong with it is said, and its size is bounded.

use std::collections::HashMap;
use std::io::{self, Read as _};

use flate2::read::MultiGzDecoder;
use prost::Message as _;
use thiserror::Error;

use super::message::{Function, Location, Profile, Sample, ValueType};
use crate::call::Frame;

/// A profile larger than this, unpacked, is refused. Go's have some 200 bytes for each stack.
const LARGEST_BYTES: u64 = 256 << 20;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A block profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockProfile {
    /// Its stacks.
    pub stacks: Vec<ProfiledStack>,
}

/// What a block profile says of a stack. Both numbers are as reported: scaled up by the profiler where it sampled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfiledStack {
    /// Its calls, the innermost first.
    pub frames: Vec<Frame>,
    /// Blocks ("contentions").
    pub count: u64,
    /// Time blocked ("delay"), ns.
    pub delay_ns: u64,
}

/// Bytes that are no block profile.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ProfileError {
    /// Nothing at all.
    #[error("it is empty: the program opened it and wrote nothing, or did not close it")]
    Empty,
    /// The form for people.
    #[error("it is a profile in text form: write it with debug = 0, as in pprof.Lookup(\"block\").WriteTo(file, 0)")]
    Text,
    /// Broken compression.
    #[error("it cannot be unpacked ({0}): is it whole?")]
    Gzip(String),
    /// More than [`LARGEST_BYTES`].
    #[error("it is larger than {} MiB, unpacked", LARGEST_BYTES >> 20)]
    TooLarge,
    /// Not the format of pprof.
    #[error("it is not in pprof's format ({0})")]
    Format(String),
    /// Another kind of profile.
    #[error("it is not a block profile: it has {0} instead of contentions/count and delay/nanoseconds")]
    Kind(String),
    /// It refers to what is not there.
    #[error("it is damaged: {0}")]
    Damaged(String),
}

/// Reads a block profile, packed or not.
///
/// # Errors
/// If the bytes are anything else.
pub fn read_block_profile(bytes: &[u8]) -> Result<BlockProfile, ProfileError> {
    let unpacked = unpacked(bytes)?;
    let profile = Profile::decode(unpacked.as_slice()).map_err(|error| ProfileError::Format(error.to_string()))?;
    let types: Vec<String> = profile.sample_types.iter().map(|value| type_name(&profile, *value)).collect();
    // A mutex profile has the same types: which of the two it is cannot be told from it.
    if types != ["contentions/count", "delay/nanoseconds"] {
        let found = if types.is_empty() { "no values".to_owned() } else { types.join(", ") };
        return Err(ProfileError::Kind(found));
    }
    let tables = Tables::of(&profile);
    profile
        .samples
        .iter()
        .map(|sample| tables.stack(sample))
        .collect::<Result<_, _>>()
        .map(|stacks| BlockProfile { stacks })
}

fn unpacked(bytes: &[u8]) -> Result<Vec<u8>, ProfileError> {
    if bytes.is_empty() {
        return Err(ProfileError::Empty);
    }
    if bytes.starts_with(b"--- ") {
        return Err(ProfileError::Text);
    }
    let mut unpacked = Vec::new();
    let read = |reader: &mut dyn io::Read, into: &mut Vec<u8>| reader.take(LARGEST_BYTES + 1).read_to_end(into);
    let outcome = if bytes.starts_with(&GZIP) {
        read(&mut MultiGzDecoder::new(bytes), &mut unpacked)
    } else {
        read(&mut &*bytes, &mut unpacked)
    };
    outcome.map_err(|error| ProfileError::Gzip(error.to_string()))?;
    if unpacked.len() as u64 > LARGEST_BYTES { Err(ProfileError::TooLarge) } else { Ok(unpacked) }
}

fn type_name(profile: &Profile, value: ValueType) -> String {
    let text = |index| string(profile, index).unwrap_or("?");
    format!("{}/{}", text(value.kind), text(value.unit))
}

fn string(profile: &Profile, index: i64) -> Result<&str, ProfileError> {
    let found = usize::try_from(index).ok().and_then(|index| profile.strings.get(index));
    found.map(String::as_str).ok_or_else(|| ProfileError::Damaged(format!("it has no text number {index}")))
}

/// What samples refer to, by number.
struct Tables<'a> {
    profile: &'a Profile,
    locations: HashMap<u64, &'a Location>,
    functions: HashMap<u64, &'a Function>,
}

impl<'a> Tables<'a> {
    fn of(profile: &'a Profile) -> Self {
        Self {
            profile,
            locations: profile.locations.iter().map(|location| (location.id, location)).collect(),
            functions: profile.functions.iter().map(|function| (function.id, function)).collect(),
        }
    }

    fn stack(&self, sample: &Sample) -> Result<ProfiledStack, ProfileError> {
        let [count, delay_ns] = *sample.values else {
            return Err(ProfileError::Damaged(format!("a stack has {} values and not two", sample.values.len())));
        };
        let unsigned = |value: i64| {
            u64::try_from(value).map_err(|_| ProfileError::Damaged(format!("a stack has the negative value {value}")))
        };
        let mut frames = Vec::new();
        for id in &sample.location_ids {
            let location = self.locations.get(id);
            let location = location.ok_or_else(|| ProfileError::Damaged(format!("it has no location number {id}")))?;
            for line in &location.lines {
                frames.push(self.frame(line.function_id, line.line)?);
            }
        }
        Ok(ProfiledStack { frames, count: unsigned(count)?, delay_ns: unsigned(delay_ns)? })
    }

    fn frame(&self, function_id: u64, line: i64) -> Result<Frame, ProfileError> {
        let function = self.functions.get(&function_id);
        let function =
            function.ok_or_else(|| ProfileError::Damaged(format!("it has no function number {function_id}")))?;
        let text = |index| string(self.profile, index).map(str::to_owned);
        let (function, file) = (text(function.name)?, text(function.filename)?);
        Ok(Frame { function, file, line: u32::try_from(line).unwrap_or(0) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pprof::message::ValueType;
    use crate::pprof::{Contention, Recorded, pprof_gz};
    use crate::sites::Sites;
    use crate::sites::tests::wait;

    fn written() -> Vec<u8> {
        let mut sites = Sites::default();
        sites.add(&wait(1, &["runtime.chanrecv1", "main.main"], "chan receive", 30));
        sites.add(&wait(1, &["runtime.chanrecv1", "main.main"], "chan receive", 12));
        pprof_gz(sites.stacks().into_iter().map(Contention::of), &Recorded::default()).unwrap()
    }

    fn decoded() -> Profile {
        Profile::decode(unpacked(&written()).unwrap().as_slice()).unwrap()
    }

    #[test]
    fn what_is_written_is_read_packed_or_not() {
        let profile = read_block_profile(&written()).unwrap();
        let [stack] = &*profile.stacks else { panic!("{profile:?}") };
        assert_eq!((stack.count, stack.delay_ns), (2, 42));
        let functions: Vec<_> = stack.frames.iter().map(|frame| frame.function.as_str()).collect();
        assert_eq!(functions, ["runtime.chanrecv1", "main.main"]);
        assert_eq!(read_block_profile(&unpacked(&written()).unwrap()), Ok(profile));
    }

    #[test]
    fn what_is_no_block_profile_is_told_from_what_is() {
        let error = |bytes: &[u8]| read_block_profile(bytes).unwrap_err().to_string();
        assert!(error(b"").contains("wrote nothing"));
        assert!(error(b"--- contention:\ncycles/second=2").contains("debug = 0"));
        assert!(error(&written()[..40]).contains("is it whole?"));
        assert!(error(b"<html>not found").contains("not in pprof's format"));
        let mut heap = decoded();
        heap.strings.push("inuse_space".to_owned());
        heap.sample_types = vec![ValueType { kind: heap.strings.len() as i64 - 1, unit: 0 }];
        assert!(error(&heap.encode_to_vec()).contains("it has inuse_space/ instead of"));
    }

    #[test]
    fn references_to_nothing_are_damage() {
        let error = |change: &dyn Fn(&mut Profile)| {
            let mut profile = decoded();
            change(&mut profile);
            read_block_profile(&profile.encode_to_vec()).unwrap_err().to_string()
        };
        assert!(error(&|profile| profile.locations.clear()).contains("no location number 1"));
        assert!(error(&|profile| profile.functions.clear()).contains("no function number"));
        assert!(error(&|profile| profile.functions[0].name = -1).contains("no text number -1"));
        assert!(error(&|profile| profile.samples[0].values = vec![1]).contains("1 values and not two"));
        assert!(error(&|profile| profile.samples[0].values[0] = -1).contains("negative value -1"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in Just(unpacked(&written()).unwrap()), at in any::<prop::sample::Index>(), byte: u8) {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = read_block_profile(&bytes);
        }
    }
}
