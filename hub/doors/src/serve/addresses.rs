//! Connections that one client address may hold, so that no stranger takes every place of the port.
//!
//! Only connections without a verified certificate count: departments behind one address translator are told apart by
//! their certificates, and each is known. An IPv6 host has a whole /64 to itself, which is one address here.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

/// Open connections by address.
#[derive(Debug)]
pub(super) struct Addresses {
    open: Mutex<HashMap<IpAddr, usize>>,
    each_max: usize,
}

/// One connection of an address; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    of: Arc<Addresses>,
    address: IpAddr,
}

impl Addresses {
    /// At most `each_max` connections of one address.
    pub(super) fn new(each_max: usize) -> Arc<Self> {
        Arc::new(Self { open: Mutex::default(), each_max })
    }

    /// Counts a connection, or `None` when the address has its share.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Share> {
        let address = host(address);
        let mut open = self.open.lock();
        let count = open.entry(address).or_default();
        if *count >= self.each_max {
            return None;
        }
        *count += 1;
        Some(Share { of: Arc::clone(self), address })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut open = self.of.open.lock();
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

fn host(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_gets_it_back() {
        let addresses = Addresses::new(2);
        let enter = |text: &str| addresses.enter(text.parse().expect("an address"));
        let first = enter("192.0.2.1");
        let mapped = enter("::ffff:192.0.2.1");
        assert!(first.is_some() && mapped.is_some());
        assert!(enter("192.0.2.1").is_none(), "the same host, however it is written");
        let other = enter("192.0.2.2");
        assert!(other.is_some(), "another host is not concerned");
        drop(first);
        let again = enter("192.0.2.1");
        assert!(again.is_some());

        let near = [enter("2001:db8::1"), enter("2001:db8::2")];
        assert!(near.iter().all(Option::is_some));
        assert!(enter("2001:db8::ffff:3").is_none(), "a /64 is one host");
        assert!(enter("2001:db8:0:1::1").is_some());

        drop((mapped, other, again, near));
        assert!(addresses.open.lock().is_empty(), "nothing is kept of those who left");
    }
}
