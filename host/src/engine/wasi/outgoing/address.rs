//! Distinguishes public addresses from all others.
//!
//! A name can resolve to any address, also to this machine, its network, or the metadata service
//! of a cloud, which returns credentials. So grants are checked by address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 prefixes that are not public, from IANA's registry of special-purpose addresses:
/// first address and length of the prefix.
const SPECIAL_V4: &[([u8; 4], u32)] = &[
    ([0, 0, 0, 0], 8),       // "this network"; on Linux, 0.0.0.0 is the own machine
    ([10, 0, 0, 0], 8),      // private
    ([100, 64, 0, 0], 10),   // of providers, behind their NAT
    ([127, 0, 0, 0], 8),     // loopback
    ([169, 254, 0, 0], 16),  // link-local, with the metadata service of clouds
    ([172, 16, 0, 0], 12),   // private
    ([192, 0, 0, 0], 24),    // of protocols
    ([192, 0, 2, 0], 24),    // documentation
    ([192, 88, 99, 0], 24),  // 6to4 relays
    ([192, 168, 0, 0], 16),  // private
    ([198, 18, 0, 0], 15),   // benchmarks
    ([198, 51, 100, 0], 24), // documentation
    ([203, 0, 113, 0], 24),  // documentation
    ([224, 0, 0, 0], 4),     // multicast
    ([240, 0, 0, 0], 4),     // reserved, and broadcast
];

/// IPv6 prefixes within 2000::/3 that are not public. No address outside of it is: loopback, unique-local,
/// link-local, multicast, and the forms that contain an IPv4 address, except those in `inner_v4`.
const SPECIAL_V6: &[([u16; 2], u32)] = &[
    ([0x2001, 0x0000], 23), // of protocols, with Teredo, which holds an IPv4 address
    ([0x2001, 0x0db8], 32), // documentation
    ([0x2002, 0x0000], 16), // 6to4, which holds an IPv4 address
    ([0x3fff, 0x0000], 20), // documentation
];

/// Whether an address is public: not of this machine, its network or a protocol.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let within = |&(first, length): &([u8; 4], u32)| {
        let difference = address.to_bits() ^ u32::from_be_bytes(first);
        difference.leading_zeros() >= length
    };
    !SPECIAL_V4.iter().any(within)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = inner_v4(address) {
        return is_public_v4(inner);
    }
    let head = (address.to_bits() >> 96) as u32;
    let within = |&(first, length): &([u16; 2], u32)| {
        let first = u32::from(first[0]) << 16 | u32::from(first[1]);
        (head ^ first).leading_zeros() >= length
    };
    address.segments()[0] & 0xe000 == 0x2000 && !SPECIAL_V6.iter().any(within)
}

/// The IPv4 address to which packets for this address go: `::ffff:a.b.c.d`, and
/// `64:ff9b::a.b.c.d` in networks with NAT64.
fn inner_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let is_translated = address.to_bits() >> 32 == 0x0064_ff9b << 64;
    let translated = || Ipv4Addr::from_bits(address.to_bits() as u32);
    address.to_ipv4_mapped().or_else(|| is_translated.then(translated))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(text: &str) -> bool {
        is_public(text.parse().unwrap())
    }

    #[test]
    fn addresses_of_the_internet_are_public() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450:4001:80f::200e",
            "2001:200::1",
            "2001:4860:4860::8888",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ] {
            assert!(public(address), "{address}");
        }
    }

    #[test]
    fn addresses_of_this_machine_and_its_network_are_not() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
        ] {
            assert!(!public(address), "{address}");
            // The same address in each IPv6 form that contains it.
            let [a, b, c, d] = address.parse::<Ipv4Addr>().unwrap().octets();
            let (high, low) = (u16::from(a) << 8 | u16::from(b), u16::from(c) << 8 | u16::from(d));
            for form in [
                format!("::ffff:{address}"),
                format!("::{address}"),
                format!("64:ff9b::{address}"),
                format!("64:ff9b:1::{address}"),
                format!("2002:{high:x}:{low:x}::1"),
                format!("2001:0:{high:x}:{low:x}::1"),
                format!("::ffff:0:{address}"),
            ] {
                assert!(!public(&form), "{form}");
            }
        }
        for address in [
            "::",
            "::1",
            "::2",
            "fc00::1",
            "fd00:ec2::254",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
            "100::1",
            "2001::1",
            "2001:1::1",
            "2001:db8::1",
            "2002::1",
            "3fff::1",
            "5f00::1",
            "4000::1",
            "1fff::1",
            "64:ff9b:1::1",
            "64:ff9b::1",
        ] {
            assert!(!public(address), "{address}");
        }
    }
}
