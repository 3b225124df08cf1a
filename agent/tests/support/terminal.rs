//! A program on a terminal of its own: what it shows, and keys for it. The terminal is that of script(1).

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(180);
const ROWS: u16 = 40;
const COLUMNS: u16 = 180;

pub struct Terminal {
    child: Child,
    keys: ChildStdin,
    output: Receiver<Vec<u8>>,
    screen: vt100::Parser,
}

impl Terminal {
    /// Runs a shell's command line.
    pub fn run(line: &str) -> Self {
        let line = format!("stty rows {ROWS} cols {COLUMNS}; exec {line}");
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"])
            .env("TERM", "xterm-256color")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script(1) of util-linux is needed for this test");
        let (sender, output) = channel();
        let mut stdout = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let keys = child.stdin.take().unwrap();
        Self { child, keys, output, screen: vt100::Parser::new(ROWS, COLUMNS, 0) }
    }

    /// The process on the terminal.
    pub fn program(&self) -> u32 {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        children.split_whitespace().next().expect("nothing runs on the terminal").parse().unwrap()
    }

    /// Takes the terminal away.
    pub fn hang_up(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until the text is on the screen.
    pub fn shows(&mut self, text: &str) {
        self.until(&format!("{text:?} is not shown"), |screen| screen.contains(text));
    }

    /// Waits until the text is not on the screen.
    pub fn shows_no_more(&mut self, text: &str) {
        self.until(&format!("{text:?} is still shown"), |screen| !screen.contains(text));
    }

    pub fn is_on_alternate_screen(&self) -> bool {
        self.screen.screen().alternate_screen()
    }

    /// Waits for its end: the exit code, the last screen, and whether that is the alternate one.
    pub fn end(mut self) -> (Option<i32>, String, bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end:\n{}", self.screen.screen().contents()),
            }
        }
        let status = self.child.wait().unwrap();
        let screen = self.screen.screen();
        (status.code(), screen.contents(), screen.alternate_screen())
    }

    fn until(&mut self, otherwise: &str, enough: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !enough(&self.screen.screen().contents()) {
            match self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(_) => panic!("{otherwise}:\n{}", self.screen.screen().contents()),
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
