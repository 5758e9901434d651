// SPDX-License-Identifier: MIT
//! What a receiving call tells of the datagram or frame that a payload belongs to.

use crate::abi;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::time::{Duration, SystemTime};

/// `ZCIO_PAYLOAD_END`: the datagram ends with this payload.
pub(crate) const END: u32 = 1 << 0;
/// `ZCIO_PAYLOAD_TRUNCATED`: it was larger than all the regions.
pub(crate) const TRUNCATED: u32 = 1 << 1;

/// The datagram (UDP) or frame (AF_PACKET) that a payload belongs to; see
/// [`Payload::datagram`](crate::Payload::datagram).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Datagram {
    /// Bytes of the whole datagram, also of those that were lost.
    pub len: usize,
    /// Who sent it; `None` if it is no address that this crate knows.
    pub sender: Option<Sender>,
    /// When it was received, if the socket has `SO_TIMESTAMP` or `SO_TIMESTAMPNS`.
    pub timestamp: Option<SystemTime>,
    /// If the stack joined it from several (`UDP_GRO`; frames likewise): bytes of each, but
    /// perhaps of the last.
    pub segment: Option<usize>,
    /// The VLAN tag that the device took out of a frame.
    pub vlan: Option<Vlan>,
}

/// Who sent a datagram or a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sender {
    /// Of UDP.
    Ip(SocketAddr),
    /// Of AF_PACKET.
    Link(LinkAddr),
}

/// Address of a frame's sender, as `sockaddr_ll` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkAddr {
    /// The protocol of what is in the frame: an EtherType.
    pub protocol: u16,
    /// Index of the interface that it was received on.
    pub interface: u32,
    /// What kind of link that is (`ARPHRD_*`).
    pub hardware: u16,
    /// To whom it was sent (`PACKET_HOST`, `PACKET_BROADCAST`, ...).
    pub packet_type: u8,
    /// Bytes of the address; it may be longer than what is told of it.
    pub address_len: u8,
    address: [u8; 8],
}

impl LinkAddr {
    /// The address, or its first 8 bytes.
    pub fn address(&self) -> &[u8] {
        &self.address[..self.address.len().min(self.address_len.into())]
    }
}

/// A frame's VLAN tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Vlan {
    /// Priority and number.
    pub tci: u16,
    /// The tag's own protocol, as 0x8100.
    pub tpid: u16,
}

impl Datagram {
    /// `None` for a payload of a stream.
    pub(crate) fn of(info: &abi::Payload) -> Option<Datagram> {
        let name = info.name.get(..info.name_len as usize)?;
        (!name.is_empty()).then(|| Datagram {
            len: info.datagram as usize,
            sender: sender(name),
            timestamp: (info.timestamp != 0)
                .then(|| SystemTime::UNIX_EPOCH + Duration::from_nanos(info.timestamp)),
            segment: (info.segment != 0).then_some(info.segment as usize),
            vlan: (info.vlan_tpid != 0)
                .then_some(Vlan { tci: info.vlan_tci, tpid: info.vlan_tpid }),
        })
    }
}

/// Reads a `sockaddr_in`, `sockaddr_in6` or `sockaddr_ll`.
fn sender(name: &[u8]) -> Option<Sender> {
    let port = || bytes(name, 2).map(u16::from_be_bytes);
    match i32::from(bytes(name, 0).map(u16::from_ne_bytes)?) {
        libc::AF_INET => {
            let ip = Ipv4Addr::from(bytes::<4>(name, 4)?);
            Some(Sender::Ip(SocketAddrV4::new(ip, port()?).into()))
        }
        libc::AF_INET6 => {
            let ip = Ipv6Addr::from(bytes::<16>(name, 8)?);
            let flow = bytes(name, 4).map(u32::from_ne_bytes)?;
            let scope = bytes(name, 24).map(u32::from_ne_bytes)?;
            Some(Sender::Ip(SocketAddrV6::new(ip, port()?, flow, scope).into()))
        }
        libc::AF_PACKET => Some(Sender::Link(LinkAddr {
            protocol: bytes(name, 2).map(u16::from_be_bytes)?,
            interface: bytes(name, 4).map(u32::from_ne_bytes)?,
            hardware: bytes(name, 8).map(u16::from_ne_bytes)?,
            packet_type: *name.get(10)?,
            address_len: *name.get(11)?,
            address: bytes(name, 12)?,
        })),
        _ => None,
    }
}

/// The `N` bytes of `name` from `at` on.
fn bytes<const N: usize>(name: &[u8], at: usize) -> Option<[u8; N]> {
    name.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel tells, with this sender.
    fn told(name: &[&[u8]]) -> abi::Payload {
        let name = name.concat();
        let mut info = abi::Payload { datagram: 77, ..Default::default() };
        info.name[..name.len()].copy_from_slice(&name);
        info.name_len = name.len() as u32;
        info
    }

    fn family(family: i32) -> [u8; 2] {
        (family as u16).to_ne_bytes()
    }

    fn sender_of(info: &abi::Payload) -> Option<Sender> {
        Datagram::of(info).unwrap().sender
    }

    #[test]
    fn a_stream_has_none() {
        assert_eq!(Datagram::of(&abi::Payload::default()), None);
    }

    #[test]
    fn senders_of_every_kind() {
        let v4 = told(&[&family(libc::AF_INET), &[0x1f, 0x90, 192, 0, 2, 1], &[0; 8]]);
        assert_eq!(sender_of(&v4), Some(Sender::Ip("192.0.2.1:8080".parse().unwrap())));

        let ip: Ipv6Addr = "fe80::1:2".parse().unwrap();
        let parts: [&[u8]; 5] =
            [&family(libc::AF_INET6), &[0, 53], &[0; 4], &ip.octets(), &3u32.to_ne_bytes()];
        let v6 = SocketAddr::from(SocketAddrV6::new(ip, 53, 0, 3));
        assert_eq!(sender_of(&told(&parts)), Some(Sender::Ip(v6)));

        let parts: [&[u8]; 5] = [
            &family(libc::AF_PACKET),
            &[0x86, 0xdd],
            &9u32.to_ne_bytes(),
            &1u16.to_ne_bytes(),
            &[4, 6, 1, 2, 3, 4, 5, 6, 0, 0],
        ];
        let Some(Sender::Link(link)) = sender_of(&told(&parts)) else { panic!("of AF_PACKET") };
        assert_eq!((link.protocol, link.interface, link.hardware), (0x86dd, 9, 1));
        assert_eq!((link.packet_type, link.address()), (4, &[1, 2, 3, 4, 5, 6][..]));
    }

    #[test]
    fn an_address_longer_than_what_is_told() {
        let parts: [&[u8]; 3] = [&family(libc::AF_PACKET), &[0; 9], &[20, 1, 2, 3, 4, 5, 6, 7, 8]];
        let Some(Sender::Link(link)) = sender_of(&told(&parts)) else { panic!("of AF_PACKET") };
        assert_eq!((link.address_len, link.address().len()), (20, 8));
    }

    #[test]
    fn names_that_are_none() {
        for kind in [libc::AF_INET, libc::AF_INET6, libc::AF_PACKET, libc::AF_UNIX] {
            assert_eq!(sender_of(&told(&[&family(kind)])), None);
        }
        assert_eq!(sender_of(&told(&[&[2]])), None);
        let long = abi::Payload { name_len: 29, ..Default::default() };
        assert_eq!(Datagram::of(&long), None);
    }

    #[test]
    fn what_else_is_told() {
        let plain = told(&[&family(libc::AF_INET)]);
        let datagram = Datagram::of(&plain).unwrap();
        assert_eq!((datagram.len, datagram.timestamp), (77, None));
        assert_eq!((datagram.segment, datagram.vlan), (None, None));

        let full = abi::Payload {
            timestamp: 1_500_000_000_000_000_001,
            segment: 1200,
            vlan_tci: 5,
            vlan_tpid: 0x8100,
            ..plain
        };
        let datagram = Datagram::of(&full).unwrap();
        let since = datagram.timestamp.unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(since, Duration::new(1_500_000_000, 1));
        assert_eq!(datagram.segment, Some(1200));
        assert_eq!(datagram.vlan, Some(Vlan { tci: 5, tpid: 0x8100 }));
    }
}
