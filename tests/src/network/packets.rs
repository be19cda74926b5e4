//! A link that carries IP packets between two network namespaces, in user
//! space: it delays, paces, loses and reorders them as a network does, which
//! neither a relay of bytes nor this kernel's queues can. Each end is a TUN
//! device, so both ends' own TCP and UDP meet what happens on it.

mod wire;

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_tun::Tun;

use self::wire::Wire;
use super::background::Background;

/// Larger than any packet of a device.
pub(super) const PACKET_MAX: usize = 65_536;
/// How long two devices may take to come into being.
pub(super) const DEVICES_DEADLINE: Duration = Duration::from_secs(10);

/// What a packet link does, alike in both directions.
#[derive(Clone, Debug)]
pub struct PacketOptions {
    /// How long each packet travels, one way.
    pub delay: Duration,
    /// What is added to the delay by chance, at most.
    pub jitter: Duration,
    /// How many bytes per second pass each way, at most.
    pub bytes_per_second: Option<u64>,
    /// How long a packet may wait for those before it where
    /// `bytes_per_second` is set. One that had to wait longer is dropped.
    pub queue: Duration,
    /// How many of 1,000 packets are lost.
    pub lost_per_mille: u64,
    /// How many of 1,000 packets do not wait for those before them that are
    /// late by chance.
    pub overtaking_per_mille: u64,
    /// Packets above this many bytes vanish, and nobody is told.
    pub largest: Option<usize>,
    /// What both ends believe to be the largest packet, in bytes.
    pub mtu: u16,
    /// What chance follows from.
    pub seed: u64,
}

impl Default for PacketOptions {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            bytes_per_second: None,
            queue: Duration::from_millis(50),
            lost_per_mille: 0,
            overtaking_per_mille: 0,
            largest: None,
            mtu: 1500,
            seed: 0,
        }
    }
}

/// How many packets met which end, both directions together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketCounts {
    /// Arrived, or on their way.
    pub carried: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Dropped before the bottleneck.
    pub overflowed: u64,
    /// Too large for the path.
    pub too_large: u64,
}

/// A running link. Dropping it removes both devices.
#[derive(Debug)]
pub struct PacketLink {
    shared: Arc<Shared>,
    _tasks: Background,
}

impl PacketLink {
    /// Makes the devices of these names in the caller's namespace, and carries
    /// packets between them. They can be moved into another namespace.
    ///
    /// # Panics
    /// When the machine refuses the devices: the tests need root.
    pub(super) fn start(names: [String; 2], options: PacketOptions) -> Self {
        let shared = Arc::new(Shared { options: Mutex::new(options), ..Shared::default() });
        let (tell, told) = sync_channel(1);
        let carried = Arc::clone(&shared);
        let tasks = Background::start("packet-link", move || carry_both(names, tell, carried));
        told.recv_timeout(DEVICES_DEADLINE).expect("the test is root, and /dev/net/tun is there");
        Self { shared, _tasks: tasks }
    }

    /// Changes what happens to packets that come from now on. The devices keep
    /// their `mtu`, and chance its course.
    pub fn change(&self, change: impl FnOnce(&mut PacketOptions)) {
        change(&mut self.shared.options.lock().expect("no carrier panics"));
    }

    /// What has become of the packets so far.
    pub fn counts(&self) -> PacketCounts {
        let [carried, lost, overflowed, too_large] = self.shared.fates.each_ref().map(|c| c.load(Ordering::Relaxed));
        PacketCounts { carried, lost, overflowed, too_large }
    }
}

#[derive(Debug, Default)]
struct Shared {
    options: Mutex<PacketOptions>,
    /// By the order of [`wire::Fate`].
    fates: [AtomicU64; 4],
}

async fn carry_both(names: [String; 2], tell: SyncSender<()>, shared: Arc<Shared>) {
    let (mtu, seed) = {
        let options = shared.options.lock().expect("nobody has panicked yet");
        (options.mtu, options.seed)
    };
    let [near, far] = names.map(|name| device(&name, mtu));
    // Whoever waited too long has panicked already.
    tell.send(()).ok();
    // Any other number makes the second direction's chance its own.
    tokio::join!(carry(&near, &far, Wire::new(seed, Instant::now()), &shared), async {
        carry(&far, &near, Wire::new(seed ^ u64::MAX, Instant::now()), &shared).await;
    });
}

/// A TUN device of this name in the caller's namespace.
pub(super) fn device(name: &str, mtu: u16) -> Tun {
    let devices = Tun::builder().name(name).mtu(mtu.into()).build();
    let devices = devices.unwrap_or_else(|error| panic!("no TUN device {name} can be made: {error}"));
    { devices }.pop().expect("a device has one queue")
}

async fn carry(from: &Tun, to: &Tun, mut wire: Wire, shared: &Shared) {
    let mut packet = vec![0; PACKET_MAX];
    loop {
        while let Some(arrived) = wire.take_arrived(Instant::now()) {
            // Who is down or already gone receives nothing.
            to.send(&arrived).await.ok();
        }
        let arrival = wire.next_arrival();
        let arrives =
            async { if let Some(at) = arrival { sleep_until(at).await } else { std::future::pending().await } };
        tokio::select! {
            read = from.recv(&mut packet) => match read {
                Ok(length) => shared.admit(&mut wire, &packet[..length]),
                // A device that is down has nothing; it comes up once it is configured.
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            },
            () = arrives => {}
        }
    }
}

impl Shared {
    fn admit(&self, wire: &mut Wire, packet: &[u8]) {
        // The devices are for IPv4; a kernel's own IPv6 chatter would use up chance.
        if packet.first().is_none_or(|first| first >> 4 != 4) {
            return;
        }
        let options = self.options.lock().expect("nobody panics while changing them");
        let fate = wire.admit(packet, Instant::now(), &options);
        self.fates[fate as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// The command that gives a device room for the bursts of a fast sender: the
/// link's own queue decides what is dropped, not the device's.
pub(super) fn deepen_queue(device: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["link", "set", "dev", device, "txqueuelen", "10000"]);
    command
}
