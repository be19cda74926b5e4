//! The PROXY protocol, version 2: how a proxy that passes TCP on says, before
//! all else, for whom. Only those that are trusted may.

use std::io::{Error, ErrorKind, Result};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// What every header begins with. Neither TLS nor HTTP does.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The first byte of it.
pub const FIRST: u8 = SIGNATURE[0];
/// Longest rest of a header, in bytes: addresses, and what proxies add.
const REST_MAX: usize = 1024;
/// Version 2, and a connection of the proxy's own, such as a health check.
const LOCAL: u8 = 0x20;
/// Version 2, and a connection for somebody.
const PROXY: u8 = 0x21;
/// TCP over IPv4, and over IPv6.
const FAMILIES: (u8, u8) = (0x11, 0x21);

/// Takes the header from the start of a connection: the caller's address, or
/// `None` where the proxy speaks for itself.
///
/// # Errors
/// When it is none, or the connection ends in it.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>> {
    let mut head = [0; 16];
    stream.read_exact(&mut head).await?;
    let (command, family) = (head[12], head[13]);
    let length = usize::from(u16::from_be_bytes([head[14], head[15]]));
    if head[..12] != SIGNATURE || length > REST_MAX {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    match command {
        LOCAL => Ok(None),
        PROXY => source(family, &rest).map(Some).ok_or_else(|| Error::from(ErrorKind::InvalidData)),
        _ => Err(ErrorKind::InvalidData.into()),
    }
}

/// Source and destination address stand first, then their ports.
fn source(family: u8, rest: &[u8]) -> Option<SocketAddr> {
    let port = |at: usize| Some(u16::from_be_bytes([*rest.get(at)?, *rest.get(at + 1)?]));
    if family == FAMILIES.0 {
        let address: [u8; 4] = rest.get(..4)?.try_into().ok()?;
        return Some((Ipv4Addr::from(address), port(8)?).into());
    }
    if family == FAMILIES.1 {
        let address: [u8; 16] = rest.get(..16)?.try_into().ok()?;
        return Some((Ipv6Addr::from(address), port(32)?).into());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    fn v4() -> Vec<u8> {
        header(PROXY, 0x11, &[192, 0, 2, 7, 127, 0, 0, 1, 0x1f, 0x90, 0x20, 0xfb])
    }

    #[tokio::test]
    async fn both_families_name_the_caller_and_what_follows_is_left() {
        let whole = [v4(), b"GET /".to_vec()].concat();
        let mut stream = whole.as_slice();
        assert_eq!(read(&mut stream).await.unwrap(), Some("192.0.2.7:8080".parse().unwrap()));
        assert_eq!(stream, b"GET /");
        let caller: Ipv6Addr = "2001:db8::7".parse().unwrap();
        let rest = [&caller.octets()[..], &[0; 16], &[0x1f, 0x90, 0x20, 0xfb], b"\x04\x00\x02hi"].concat();
        let answer = read(&mut header(PROXY, 0x21, &rest).as_slice()).await.unwrap();
        assert_eq!(answer, Some("[2001:db8::7]:8080".parse().unwrap()));
    }

    #[tokio::test]
    async fn a_health_check_is_the_proxys_own() {
        assert_eq!(read(&mut header(LOCAL, 0, &[]).as_slice()).await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_is_cut_too_long_or_of_another_kind_is_refused() {
        let mut wrong = v4();
        wrong[3] ^= 1;
        for bytes in [
            v4()[..20].to_vec(),
            wrong,
            header(PROXY, 0x11, &[192, 0, 2, 7]),
            header(PROXY, 0x12, &[0; 12]),
            header(0x11, 0x11, &[0; 12]),
            header(PROXY, 0x11, &[0; REST_MAX + 1]),
        ] {
            assert!(read(&mut bytes.as_slice()).await.is_err(), "{bytes:?}");
        }
    }
}
