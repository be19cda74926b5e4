//! One request to a hub whose answer a test reads by hand: later, as slowly as
//! it likes, or never.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::Hub;

/// How long the hub may take for the next byte that a test waits for.
const READ_DEADLINE: Duration = Duration::from_secs(60);
/// Longest head of an answer, in bytes.
const HEAD_MAX: usize = 16 * 1024;

/// A request under way on a connection of its own. Dropping it hangs up.
#[derive(Debug)]
pub struct Conversation {
    stream: TcpStream,
}

impl Conversation {
    /// Sends a `GET` with the administrator's token. What comes behind the
    /// answer's head is its body, as it is.
    ///
    /// # Panics
    /// When the hub takes no connection.
    pub fn get(hub: &Hub, path: &str) -> Self {
        Self::begin(hub, &format!("GET {path} HTTP/1.0\r\n"), "\r\n")
    }

    /// Asks the engine of this environment for a terminal, and waits for it.
    ///
    /// # Panics
    /// When there is none to be had.
    pub fn terminal(hub: &Hub, environment_id: &str) -> Self {
        let line = format!("POST /api/v1/environments/{environment_id}/engine/v1.41/exec/one/start HTTP/1.1\r\n");
        let rest =
            "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        let mut terminal = Self::begin(hub, &line, rest);
        assert_eq!(terminal.status(), Some(101), "the hub opens a terminal");
        terminal
    }

    fn begin(hub: &Hub, line: &str, rest: &str) -> Self {
        let mut stream = TcpStream::connect(hub.address()).expect("the hub takes connections");
        stream.set_read_timeout(Some(READ_DEADLINE)).expect("a TCP socket has this option");
        let head = format!("{line}Host: hub\r\nAuthorization: Bearer {}\r\n{rest}", hub.api_token());
        stream.write_all(head.as_bytes()).expect("the hub reads a request");
        Self { stream }
    }

    /// Whether nothing of an answer has come yet, nor the end of the connection.
    ///
    /// # Panics
    /// When the system does not say.
    pub fn is_unanswered(&self) -> bool {
        self.stream.set_nonblocking(true).expect("a TCP socket has this option");
        let looked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).expect("a TCP socket has this option");
        looked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Reads the head of the answer and gives its status; `None` where the
    /// connection ended without one.
    ///
    /// # Panics
    /// When neither comes in a minute.
    pub fn status(&mut self) -> Option<u16> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_MAX {
            let mut byte = [0];
            match self.stream.read(&mut byte) {
                Ok(1..) => head.push(byte[0]),
                Ok(0) => return None,
                Err(error) if is_patience_over(&error) => panic!("the hub neither answers nor hangs up"),
                Err(_) => return None,
            }
        }
        let text = String::from_utf8_lossy(&head);
        text.split_whitespace().nth(1).and_then(|status| status.parse().ok())
    }

    /// Reads at most `most` bytes of the body; none at its end.
    ///
    /// # Panics
    /// When nothing comes in a minute.
    pub fn read(&mut self, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; most];
        match self.stream.read(&mut bytes) {
            Ok(read) => bytes.truncate(read),
            Err(error) if is_patience_over(&error) => panic!("the hub sends nothing more and does not hang up"),
            Err(_) => bytes.clear(),
        }
        bytes
    }

    /// Reads the body to its end.
    ///
    /// # Panics
    /// When it has none.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let piece = self.read(64 * 1024);
            if piece.is_empty() {
                return body;
            }
            body.extend_from_slice(&piece);
        }
    }

    /// Types into the terminal and reads what comes back.
    ///
    /// # Panics
    /// When it is not the same.
    pub fn echoes(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).expect("the terminal is open");
        let mut echoed = vec![0; text.len()];
        self.stream.read_exact(&mut echoed).expect("the terminal answers");
        assert_eq!(echoed, text.as_bytes());
    }

    /// Types on and on, and reads nothing, until the other end hangs up.
    ///
    /// # Panics
    /// When it neither reads nor hangs up for a minute.
    pub fn type_until_ended(&mut self) {
        self.stream.set_write_timeout(Some(READ_DEADLINE)).expect("a TCP socket has this option");
        let ended = loop {
            if let Err(error) = self.stream.write_all(&[b'x'; 64 * 1024]) {
                break error;
            }
        };
        assert!(!is_patience_over(&ended), "the hub neither reads nor hangs up");
    }

    /// Reads until the other end hangs up, in whichever way.
    ///
    /// # Panics
    /// When it does not in a minute.
    pub fn wait_for_end(&mut self) {
        while !self.read(1024).is_empty() {}
    }
}

fn is_patience_over(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
