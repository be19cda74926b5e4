//! A toy name server that has one answer for every name.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::net::UdpSocket;

use super::background::Background;

/// Larger than any question.
const QUESTION_MAX: usize = 1500;
/// Length of a message's header (RFC 1035 §4.1.1).
const HEADER: usize = 12;
/// Type of the record of an IPv4 address.
const A: u16 = 1;
/// The same for IPv6.
const AAAA: u16 = 28;

/// What it says to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsConduct {
    /// Every name has these addresses.
    Knows(Vec<IpAddr>),
    /// There is no such name.
    NoSuchName,
    /// It says nothing.
    Silent,
}

/// The server, on port 53 of one of the machine's addresses. Dropping it ends
/// it.
#[derive(Debug)]
pub struct ToyDns {
    conduct: Arc<Mutex<DnsConduct>>,
    folder: TempDir,
    _tasks: Background,
}

impl ToyDns {
    /// Starts it on this address.
    ///
    /// # Panics
    /// When port 53 is taken there.
    pub fn start(address: Ipv4Addr, conduct: DnsConduct) -> Self {
        let socket = std::net::UdpSocket::bind((address, 53)).expect("port 53 of a new address is free");
        socket.set_nonblocking(true).expect("a socket can be non-blocking");
        let folder = tempfile::Builder::new().prefix("windflow-dns-").tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("resolv.conf"), format!("nameserver {address}\n")).expect("a new folder");
        let conduct = Arc::new(Mutex::new(conduct));
        let told = Arc::clone(&conduct);
        let tasks = Background::start("toy-dns", move || serve(socket, told));
        Self { conduct, folder, _tasks: tasks }
    }

    /// Changes what it says.
    ///
    /// # Panics
    /// When the server panicked.
    pub fn set_conduct(&self, conduct: DnsConduct) {
        *self.conduct.lock().expect("the server does not panic") = conduct;
    }

    /// A `resolv.conf` that names it.
    pub fn configuration(&self) -> PathBuf {
        self.folder.path().join("resolv.conf")
    }
}

async fn serve(socket: std::net::UdpSocket, conduct: Arc<Mutex<DnsConduct>>) {
    let socket = UdpSocket::from_std(socket).expect("the socket is non-blocking");
    let mut question = [0; QUESTION_MAX];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut question).await else { continue };
        let answer = {
            let conduct = conduct.lock().expect("nobody panics while holding it");
            answer(&question[..length], &conduct)
        };
        send(&socket, answer, from).await;
    }
}

async fn send(socket: &UdpSocket, answer: Option<Vec<u8>>, to: SocketAddr) {
    if let Some(answer) = answer {
        let _lost_is_lost = socket.send_to(&answer, to).await;
    }
}

/// The answer to a message with one question, or none.
fn answer(message: &[u8], conduct: &DnsConduct) -> Option<Vec<u8>> {
    let name = message.get(HEADER..)?.iter().position(|byte| *byte == 0)? + 1;
    let question = message.get(HEADER..HEADER + name + 4)?;
    let wanted = u16::from_be_bytes([question[name], question[name + 1]]);
    let (code, records) = match conduct {
        DnsConduct::Silent => return None,
        DnsConduct::NoSuchName => (3, Vec::new()),
        DnsConduct::Knows(addresses) => (0, addresses.iter().filter_map(|address| record(*address, wanted)).collect()),
    };
    let count = u16::try_from(records.len()).ok()?;
    let mut answer = message[..2].to_vec();
    answer.extend([0x81, 0x80 | code, 0, 1]);
    answer.extend(count.to_be_bytes());
    answer.extend([0; 4]);
    answer.extend(question);
    answer.extend(records.concat());
    Some(answer)
}

/// The record of an address, if it is of the wanted type: the question's name,
/// class Internet, not to be kept.
fn record(address: IpAddr, wanted: u16) -> Option<Vec<u8>> {
    let (kind, bytes) = match address {
        IpAddr::V4(address) => (A, address.octets().to_vec()),
        IpAddr::V6(address) => (AAAA, address.octets().to_vec()),
    };
    let length = u8::try_from(bytes.len()).ok()?;
    let mut record = vec![0xc0, 0x0c];
    record.extend(kind.to_be_bytes());
    record.extend([0, 1, 0, 0, 0, 0, 0, length]);
    record.extend(bytes);
    (kind == wanted).then_some(record)
}
