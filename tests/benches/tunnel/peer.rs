//! What is asked of the far end of a stream, and the far end itself: small
//! answers, and bytes without end in either direction.

use std::io;
use std::path::Path;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

/// The part of this program that is a far end: `backend SOCKET`.
pub const PART: &str = "backend";
/// The same on a TCP port, which it prints: `tcp-backend`.
pub const TCP_PART: &str = "tcp-backend";

/// Any byte stream.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// Bytes of each request; the first says what is wanted, eight more how much.
const REQUEST: usize = 200;
/// Bytes of a small answer.
const ANSWER: usize = 2048;
/// Bytes read and written at once.
const CHUNK: usize = 64 * 1024;
/// Bytes of the writes that pour drops.
const DROP: usize = 20;

const WANT_ANSWER: u8 = b'a';
const WANT_POUR: u8 = b'p';
const WANT_DRAIN: u8 = b'd';
const WANT_DROPS: u8 = b't';

/// Asks for a small answer and reads it.
///
/// # Errors
/// When the stream breaks.
pub async fn ask(stream: &mut (impl Io + ?Sized)) -> io::Result<()> {
    stream.write_all(&request(WANT_ANSWER, 0)).await?;
    stream.flush().await?;
    stream.read_exact(&mut [0; ANSWER]).await?;
    Ok(())
}

/// Ends a stream in both directions, as a kept connection ends.
pub async fn finish(stream: &mut (impl Io + ?Sized)) {
    // A stream that broke has ended, too.
    if stream.shutdown().await.is_ok() {
        stream.read_to_end(&mut Vec::new()).await.ok();
    }
}

/// Asks for `total` bytes and reads them.
///
/// # Errors
/// When the stream breaks.
pub async fn pull(stream: &mut (impl Io + ?Sized), total: u64) -> io::Result<()> {
    start_pouring(stream, total).await?;
    read_all(stream, total).await
}

/// Asks for `total` bytes and reads none.
///
/// # Errors
/// When the stream breaks.
pub async fn start_pouring(stream: &mut (impl Io + ?Sized), total: u64) -> io::Result<()> {
    stream.write_all(&request(WANT_POUR, total)).await?;
    stream.flush().await
}

/// Asks for this many writes of 20 bytes each and reads none.
///
/// # Errors
/// When the stream breaks.
pub async fn start_dropping(stream: &mut (impl Io + ?Sized), count: u64) -> io::Result<()> {
    stream.write_all(&request(WANT_DROPS, count)).await?;
    stream.flush().await
}

/// Sends `total` bytes and waits until the far end has read them.
///
/// # Errors
/// When the stream breaks.
pub async fn push(stream: &mut (impl Io + ?Sized), total: u64) -> io::Result<()> {
    stream.write_all(&request(WANT_DRAIN, total)).await?;
    write_all(stream, total).await?;
    stream.read_u8().await?;
    Ok(())
}

/// Reads into `buffer` once.
///
/// # Errors
/// When the stream breaks.
pub async fn read_some(stream: &mut (impl Io + ?Sized), buffer: &mut Vec<u8>) -> io::Result<usize> {
    buffer.resize(CHUNK, 0);
    stream.read(buffer).await
}

/// Does what is asked on one stream until it ends.
///
/// # Errors
/// When the stream breaks.
pub async fn serve(mut stream: impl Io) -> io::Result<()> {
    let mut request = [0; REQUEST];
    while stream.read_exact(&mut request).await.is_ok() {
        let amount = u64::from_le_bytes(request[1..9].try_into().expect("eight bytes"));
        match request[0] {
            WANT_POUR => write_all(&mut stream, amount).await?,
            WANT_DRAIN => {
                read_all(&mut stream, amount).await?;
                stream.write_u8(1).await?;
            }
            WANT_DROPS => {
                for _ in 0..amount {
                    stream.write_all(&[3; DROP]).await?;
                    stream.flush().await?;
                }
            }
            _ => stream.write_all(&[1; ANSWER]).await?,
        }
        stream.flush().await?;
    }
    stream.shutdown().await
}

/// Serves every connection to the socket at `path`.
///
/// # Errors
/// When there can be no socket.
pub async fn serve_unix(path: &Path) -> io::Result<()> {
    let listener = UnixListener::bind(path)?;
    let mut tasks = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        tasks.spawn(serve(stream));
        while tasks.try_join_next().is_some() {}
    }
}

/// Serves every connection to a loopback port, which it prints.
///
/// # Errors
/// When no connection can be accepted any more.
pub async fn serve_tcp() -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?);
    let mut tasks = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tasks.spawn(serve(stream));
        while tasks.try_join_next().is_some() {}
    }
}

fn request(what: u8, amount: u64) -> [u8; REQUEST] {
    let mut request = [2; REQUEST];
    request[0] = what;
    request[1..9].copy_from_slice(&amount.to_le_bytes());
    request
}

async fn read_all(stream: &mut (impl Io + ?Sized), total: u64) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    let mut left = total;
    while left > 0 {
        let part = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match stream.read(&mut buffer[..part]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => left -= count as u64,
        }
    }
    Ok(())
}

async fn write_all(stream: &mut (impl Io + ?Sized), total: u64) -> io::Result<()> {
    let chunk = vec![7; CHUNK];
    let mut left = total;
    while left > 0 {
        let part = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        stream.write_all(&chunk[..part]).await?;
        left -= part as u64;
    }
    stream.flush().await
}
