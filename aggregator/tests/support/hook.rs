//! Somebody who is posted to.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// A post that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    pub(crate) at: Instant,
    pub(crate) headers: Vec<String>,
    pub(crate) body: serde_json::Value,
}

impl Posted {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// What is done once, before an answer.
type Meanwhile = Box<dyn FnOnce() + Send>;

/// Seconds after which who was answered with 429 may come again.
pub(crate) const RETRY_AFTER_S: u64 = 4;

/// Answers each post with the next status it was told, and with 200 when there is none left.
#[derive(Clone)]
pub(crate) struct Hook {
    pub(crate) url: String,
    posted: Arc<Mutex<Vec<Posted>>>,
    statuses: Arc<Mutex<Vec<u16>>>,
    unwanted: Arc<Mutex<Vec<String>>>,
    meanwhile: Arc<Mutex<Option<Meanwhile>>>,
}

impl Hook {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (posted, statuses, unwanted, meanwhile) = Default::default();
        let hook = Self { url, posted, statuses, unwanted, meanwhile };
        let answering = hook.clone();
        std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| answering.answer(stream)));
        hook
    }

    /// The next answers, in order.
    pub(crate) fn answer_with(&self, statuses: &[u16]) {
        self.statuses.lock().unwrap().extend(statuses.iter().rev());
    }

    /// What has this key is answered with 500, for ever.
    pub(crate) fn fail_on(&self, key: &str) {
        self.unwanted.lock().unwrap().push(key.to_owned());
    }

    /// This is done when the next post has come, before it is answered.
    pub(crate) fn meanwhile(&self, act: impl FnOnce() + Send + 'static) {
        *self.meanwhile.lock().unwrap() = Some(Box::new(act));
    }

    pub(crate) fn posted(&self) -> Vec<Posted> {
        self.posted.lock().unwrap().clone()
    }

    fn answer(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or_default() == 0 {
                return;
            }
            match line.trim_end() {
                "" => break,
                line => headers.push(line.to_owned()),
            }
        }
        let mut posted = Posted { at: Instant::now(), headers, body: serde_json::Value::Null };
        let length = posted.header("Content-Length").and_then(|length| length.parse().ok()).unwrap_or_default();
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        posted.body = serde_json::from_slice(&body).unwrap();
        let key = posted.header("Idempotency-Key").unwrap_or_default();
        let status = if self.unwanted.lock().unwrap().iter().any(|unwanted| unwanted == key) {
            500
        } else {
            self.statuses.lock().unwrap().pop().unwrap_or(200)
        };
        self.posted.lock().unwrap().push(posted);
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some(act) = meanwhile {
            act();
        }
        let more = if status == 429 { format!("Retry-After: {RETRY_AFTER_S}\r\n") } else { String::new() };
        let _ = write!(stream, "HTTP/1.1 {status} X\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n");
    }
}
