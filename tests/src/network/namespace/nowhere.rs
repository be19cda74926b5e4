//! A way out that leads nowhere: whatever is sent there is noted and answered
//! by nobody. It is a TUN device, so that no packet which leaves by it is
//! missed, of whichever protocol.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::network::background::Background;
use crate::network::packets::{DEVICES_DEADLINE, PACKET_MAX, device};

/// The largest packet that is sent there, in bytes.
const MTU: u16 = 1500;
/// Length of the header of an IPv6 packet (RFC 8200 §3).
const IPV6_HEADER: usize = 40;
/// What the header says comes next: options for every hop, and ICMPv6.
const HOP_BY_HOP: u8 = 0;
const ICMPV6: u8 = 58;

/// The way, and what went there. Dropping it removes the device.
#[derive(Debug)]
pub struct Nowhere {
    seen: Arc<Mutex<Vec<IpAddr>>>,
    _tasks: Background,
}

impl Nowhere {
    /// Makes the device of this name in the caller's namespace. It can be moved
    /// into another.
    pub(super) fn start(name: String) -> Self {
        let seen: Arc<Mutex<Vec<IpAddr>>> = Arc::default();
        let (tell, told) = sync_channel(1);
        let noted = Arc::clone(&seen);
        let tasks = Background::start("nowhere", move || note(name, tell, noted));
        told.recv_timeout(DEVICES_DEADLINE).expect("the test is root, and /dev/net/tun is there");
        Self { seen, _tasks: tasks }
    }

    /// Where the packets so far were to go, one entry each, in their order. Left
    /// out is what a kernel says to its neighbours by itself.
    ///
    /// # Panics
    /// When the reader panicked.
    pub fn destinations(&self) -> Vec<IpAddr> {
        self.seen.lock().expect("the reader does not panic").clone()
    }
}

async fn note(name: String, tell: SyncSender<()>, seen: Arc<Mutex<Vec<IpAddr>>>) {
    let device = device(&name, MTU);
    // Whoever waited too long has panicked already.
    tell.send(()).ok();
    let mut packet = vec![0; PACKET_MAX];
    loop {
        match device.recv(&mut packet).await {
            Ok(length) => seen.lock().expect("nobody panics while reading").extend(destination(&packet[..length])),
            // A device that is down has nothing; it comes up once it is configured.
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}

/// Where a packet is to go; `None` where it is the kernel's own, for the
/// neighbours on this link: it looks for routers and tells of its groups
/// (RFC 4861, RFC 3810). What cannot be read goes to no address.
fn destination(packet: &[u8]) -> Option<IpAddr> {
    match (packet.first().map(|first| first >> 4), packet) {
        (Some(4), packet) => {
            let address = packet.get(16..20).and_then(|address| <[u8; 4]>::try_from(address).ok());
            Some(Ipv4Addr::from(address.unwrap_or_default()).into())
        }
        (Some(6), packet) if packet.len() >= IPV6_HEADER => {
            let address = <[u8; 16]>::try_from(&packet[24..40]).unwrap_or_default();
            let is_for_neighbours = address[..2] == [0xff, 0x02] && matches!(packet[6], HOP_BY_HOP | ICMPV6);
            (!is_for_neighbours).then(|| Ipv6Addr::from(address).into())
        }
        _ => Some(Ipv4Addr::UNSPECIFIED.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ipv6(next: u8, destination: &str) -> Vec<u8> {
        let mut packet = vec![0; IPV6_HEADER];
        (packet[0], packet[6]) = (0x60, next);
        packet[24..40].copy_from_slice(&destination.parse::<Ipv6Addr>().expect("an address").octets());
        packet
    }

    #[test]
    fn what_a_kernel_says_to_its_neighbours_is_left_out_and_nothing_else_is() {
        assert_eq!(destination(&ipv6(ICMPV6, "ff02::2")), None);
        assert_eq!(destination(&ipv6(HOP_BY_HOP, "ff02::16")), None);
        for (next, address) in [(17, "ff02::fb"), (ICMPV6, "2001:db8::1"), (6, "2001:db8::1")] {
            assert_eq!(destination(&ipv6(next, address)), address.parse().ok());
        }
        let mut ipv4 = vec![0; 20];
        ipv4[0] = 0x45;
        ipv4[16..].copy_from_slice(&[192, 0, 2, 1]);
        assert_eq!(destination(&ipv4), Some(Ipv4Addr::new(192, 0, 2, 1).into()));
        for unreadable in [&[][..], &[0x45, 0], &[0x60, 0], &[0xff; 60]] {
            assert_eq!(destination(unreadable), Some(Ipv4Addr::UNSPECIFIED.into()));
        }
    }
}
