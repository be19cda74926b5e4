//! Which addresses may be reached.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// What an address is to the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Somewhere in the world.
    Public,
    /// This machine, or a private network.
    Private,
    /// Nobody who is meant: whoever answers there hands out a cloud's
    /// credentials, or the address names no one machine.
    Never,
}

/// This machine, private networks, those between a provider and its customers,
/// and those of laboratories.
const PRIVATE_V4: [(Ipv4Addr, u8); 6] = [
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
];

/// Unspecified, link-local, documentation, multicast, reserved, and
/// where clouds answer about a machine.
const NEVER_V4: [(Ipv4Addr, u8); 11] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 100, 100, 200), 32),
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// This machine, and unique local addresses.
const PRIVATE_V6: [(Ipv6Addr, u8); 2] = [(Ipv6Addr::LOCALHOST, 128), (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7)];

/// Unspecified, link-local, site-local, multicast, documentation, discarded,
/// Teredo, a translator's own prefix, and where a cloud answers about a machine.
const NEVER_V6: [(Ipv6Addr, u8); 9] = [
    (Ipv6Addr::UNSPECIFIED, 128),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48),
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128),
];

impl Reach {
    /// What this address is. One of IPv4 inside one of IPv6 is what it is by
    /// itself.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) if is_in(address, &NEVER_V6) => Self::Never,
            IpAddr::V6(address) if is_in(address, &PRIVATE_V6) => Self::Private,
            IpAddr::V6(address) => inner(address).map_or(Self::Public, Self::of_v4),
        }
    }

    /// Whether somebody who may or may not go into private networks may go
    /// there.
    pub const fn is_open(self, allow_private: bool) -> bool {
        match self {
            Self::Public => true,
            Self::Private => allow_private,
            Self::Never => false,
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        let is_in = |nets: &[(Ipv4Addr, u8)]| {
            nets.iter().any(|(net, length)| Ipv4Net::new(*net, *length).is_ok_and(|net| net.contains(&address)))
        };
        if is_in(&NEVER_V4) {
            return Self::Never;
        }
        if is_in(&PRIVATE_V4) { Self::Private } else { Self::Public }
    }
}

fn is_in(address: Ipv6Addr, nets: &[(Ipv6Addr, u8)]) -> bool {
    nets.iter().any(|(net, length)| Ipv6Net::new(*net, *length).is_ok_and(|net| net.contains(&address)))
}

/// The address of IPv4 that one of IPv6 leads to: mapped, compatible, through
/// NAT64 or 6to4.
fn inner(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = address.to_bits();
    let low = Ipv4Addr::from_bits((bits & u128::from(u32::MAX)) as u32);
    let high = bits >> 32;
    let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0).to_bits() >> 32;
    match high {
        0 | 0xffff => Some(low),
        _ if high == nat64 => Some(low),
        _ if bits >> 112 == 0x2002 => Some(Ipv4Addr::from_bits(((bits >> 80) & u128::from(u32::MAX)) as u32)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Reach {
        Reach::of(text.parse().unwrap())
    }

    #[test]
    fn c38_private_addresses_are_private_in_every_form() {
        for address in [
            "127.0.0.1",
            "127.255.255.254",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "198.19.255.255",
        ] {
            let v4: Ipv4Addr = address.parse().unwrap();
            let nat64 = Ipv6Addr::from_bits(0x64_ff9b << 96 | u128::from(v4.to_bits()));
            let six_to_four = Ipv6Addr::from_bits(0x2002 << 112 | u128::from(v4.to_bits()) << 80);
            for form in [v4.into(), v4.to_ipv6_mapped().into(), nat64.into(), six_to_four.into()] {
                assert_eq!(Reach::of(form), Reach::Private, "{form}");
            }
        }
        for address in ["::1", "fc00::1", "fdff:ffff::1", "100.64.0.1", "::127.0.0.1"] {
            assert_eq!(of(address), Reach::Private, "{address}");
        }
    }

    #[test]
    fn c38_where_clouds_answer_and_nobody_lives_is_never_reached() {
        let never = [
            "169.254.169.254",
            "169.254.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "fd00:ec2::254",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "192.0.2.1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "64:ff9b:1::1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
        ];
        for address in never {
            assert_eq!(of(address), Reach::Never, "{address}");
            assert!(!of(address).is_open(true), "{address}");
        }
    }

    #[test]
    fn the_rest_is_the_world() {
        for address in
            ["1.1.1.1", "172.32.0.1", "172.15.0.1", "100.128.0.1", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808"]
        {
            assert_eq!(of(address), Reach::Public, "{address}");
            assert!(of(address).is_open(false), "{address}");
        }
    }
}
