//! The side of the person.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::error::ControlError;
use super::protocol::{AsSet, Ask, Outcome, read_answer, request_line};

/// How long the agent may take: it is busy for seconds where it takes up many programs at once.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an answer: some hundred of each process.
const MOST_BYTES: u64 = 64 << 20;

/// Asks the agent at this socket.
///
/// # Errors
/// If none is there, it does not answer, or it refuses.
pub fn ask(path: &Path, ask: &Ask) -> Result<AsSet, ControlError> {
    let request = request_line(ask).map_err(|e| ControlError::Garbled(e.to_string()))?;
    let stream = UnixStream::connect(path).map_err(|cause| unreached(path, cause))?;
    let answer = speak(stream, &request).map_err(|cause| ControlError::Silent { path: path.to_owned(), cause })?;
    match read_answer(&answer).map_err(ControlError::Garbled)? {
        Outcome::Done(done) => Ok(*done),
        Outcome::Refused(why) => Err(ControlError::Refused(why)),
    }
}

fn unreached(path: &Path, cause: io::Error) -> ControlError {
    match cause.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ControlError::Nobody(path.to_owned()),
        io::ErrorKind::PermissionDenied => ControlError::Forbidden(path.to_owned()),
        _ => ControlError::Silent { path: path.to_owned(), cause },
    }
}

fn speak(mut stream: UnixStream, request: &str) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(MOST_BYTES)).read_until(b'\n', &mut answer)?;
    if answer.is_empty() { Err(io::Error::other("it closed the connection")) } else { Ok(answer) }
}
