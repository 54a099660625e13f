//! The table of connections: the holder of each, the ones that serve a request, and the one that is closed for a new
//! connection.
//!
//! A connection belongs to its peer address until a request on it authenticates a caller; then it belongs to that
//! caller. The server handles fewer requests at the same time than it allows connections. So a new connection can
//! always replace one that waits for a request. Unauthenticated connections are closed before the ones of known
//! callers, and the holder of most connections loses one first. This module has no clock: the order of events decides.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::name::UserName;
use crate::server::context::error::{ApiError, Code};
use crate::server::context::metrics::Metrics;

/// The number of connections at the same time, if the system allows as many open files.
const PLACES: usize = 1024;

/// The number of open files that are reserved for the repository, the webhooks and the log.
const OTHER_FILES: u64 = 256;

/// The smallest number of connections, even if fewer files may be open.
const MIN_PLACES: usize = 64;

/// The limits of connections and requests, in total and for one holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections in total.
    places: usize,
    /// Unauthenticated connections of one address.
    of_address: usize,
    /// Requests in progress in total.
    served: usize,
    /// Requests in progress of one caller.
    of_caller: usize,
    /// Requests in progress of one address without a caller.
    of_nobody: usize,
}

impl ConnectionLimits {
    fn new(places: usize) -> Self {
        let served = places - places / 8;
        Self { places, of_address: places / 4, served, of_caller: served / 2, of_nobody: places / 32 }
    }

    /// Returns limits that fit the system's limit of open files, which is raised as far as possible.
    pub fn of_system() -> Self {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        let wanted = PLACES as u64 + 2 * OTHER_FILES;
        let mut open = limit.current.unwrap_or(u64::MAX);
        if open < wanted {
            let raised = limit.maximum.unwrap_or(wanted).min(wanted);
            if raised > open && setrlimit(Resource::Nofile, Rlimit { current: Some(raised), ..limit }).is_ok() {
                open = raised;
            }
        }
        let places = usize::try_from(open.saturating_sub(OTHER_FILES)).unwrap_or(PLACES);
        Self::new(places.clamp(MIN_PLACES, PLACES))
    }
}

/// The holder of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum ConnectionOwner {
    Address(IpAddr),
    Caller(UserName),
}

/// Returns the part of a peer address that identifies a host or household: an IPv6 network of 64 bits counts as one.
fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
        IpAddr::V4(ip) => IpAddr::V4(ip),
    }
}

/// One connection.
#[derive(Debug)]
struct ConnectionEntry {
    holder: ConnectionOwner,
    /// Whether the peer is this machine or the proxy in front of it.
    is_near: bool,
    /// Whether a request is in progress on it.
    is_serving: bool,
    /// The number of its last event.
    since: u64,
    close: Arc<Notify>,
}

impl ConnectionEntry {
    /// Returns the rank in which connections are closed. Within a rank, the number of connections of the holder
    /// decides.
    fn tier(&self) -> u8 {
        match (&self.holder, self.is_near) {
            (ConnectionOwner::Address(_), false) => 0,
            (ConnectionOwner::Address(_), true) => 1,
            (ConnectionOwner::Caller(_), _) => 2,
        }
    }
}

/// Why a request is not handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Excess {
    /// The server handles as many requests as it can.
    Server,
    /// The caller has used up its share.
    Caller,
}

/// All connections.
#[derive(Debug)]
struct Table {
    limits: ConnectionLimits,
    /// The number of the next event.
    next: u64,
    entries: HashMap<u64, ConnectionEntry>,
    /// The number of connections of each holder.
    held: HashMap<ConnectionOwner, usize>,
    /// The number of requests in progress of each holder.
    serving: HashMap<ConnectionOwner, usize>,
    served: usize,
}

fn less<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

impl Table {
    fn new(limits: ConnectionLimits) -> Self {
        let (entries, held, serving) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { limits, next: 0, entries, held, serving, served: 0 }
    }

    fn event(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Adds a connection, and closes others if necessary. Returns its number and how many were closed.
    fn open(&mut self, address: IpAddr, is_near: bool, close: Arc<Notify>) -> (u64, usize) {
        let holder = ConnectionOwner::Address(group(address));
        let held = self.held.get(&holder).copied().unwrap_or_default();
        let mut closed = 0;
        if !is_near && held >= self.limits.of_address {
            closed += usize::from(self.evict(|entry| entry.holder == holder));
        }
        while self.entries.len() >= self.limits.places && self.evict(|_| true) {
            closed += 1;
        }
        let id = self.event();
        *self.held.entry(holder.clone()).or_default() += 1;
        self.entries.insert(id, ConnectionEntry { holder, is_near, is_serving: false, since: id, close });
        (id, closed)
    }

    /// Closes the waiting connection that ranks lowest. Returns false if no connection waits.
    fn evict(&mut self, may: impl Fn(&ConnectionEntry) -> bool) -> bool {
        let spare = self.entries.iter().filter(|(_, entry)| !entry.is_serving && may(entry));
        let held = |entry: &ConnectionEntry| self.held.get(&entry.holder).copied().unwrap_or_default();
        let first = spare.min_by_key(|(_, entry)| (entry.tier(), Reverse(held(entry)), entry.since));
        let Some(id) = first.map(|(id, _)| *id) else { return false };
        if let Some(entry) = self.close(id) {
            entry.close.notify_one();
        }
        true
    }

    fn close(&mut self, id: u64) -> Option<ConnectionEntry> {
        let entry = self.entries.remove(&id)?;
        less(&mut self.held, &entry.holder);
        Some(entry)
    }

    /// Starts a request, of a caller if one is known. Returns the holder that it counts for.
    fn begin(&mut self, id: u64, caller: Option<&UserName>) -> Result<ConnectionOwner, Excess> {
        let held = |entry: &ConnectionEntry| entry.holder.clone();
        let nobody = || ConnectionOwner::Address(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        let known = self.entries.get(&id).map_or_else(nobody, held);
        let holder = match caller {
            Some(caller) => ConnectionOwner::Caller(caller.clone()),
            None => known.clone(),
        };
        // A connection stays with its authenticated caller, whatever a later request says.
        if holder != known
            && let Some(entry) = self.entries.get_mut(&id)
        {
            entry.holder = holder.clone();
            less(&mut self.held, &known);
            *self.held.entry(holder.clone()).or_default() += 1;
        }
        let share = match holder {
            ConnectionOwner::Caller(_) => self.limits.of_caller,
            ConnectionOwner::Address(_) => self.limits.of_nobody,
        };
        if self.serving.get(&holder).is_some_and(|count| *count >= share) {
            return Err(Excess::Caller);
        }
        if self.served >= self.limits.served {
            return Err(Excess::Server);
        }
        self.served += 1;
        *self.serving.entry(holder.clone()).or_default() += 1;
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.is_serving = true;
        }
        Ok(holder)
    }

    /// Ends a request.
    fn end(&mut self, id: u64, holder: &ConnectionOwner) {
        self.served = self.served.saturating_sub(1);
        less(&mut self.serving, holder);
        let now = self.event();
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.is_serving = false;
            entry.since = now;
        }
    }
}

/// The connections of the server.
#[derive(Debug)]
pub struct Connections {
    table: Mutex<Table>,
    /// The addresses of the proxy in front of the server.
    proxies: Vec<IpAddr>,
    metrics: Arc<Metrics>,
}

/// The slot of one connection, until it is dropped.
#[derive(Debug)]
pub struct ConnectionSlot {
    id: u64,
    close: Arc<Notify>,
    connections: Arc<Connections>,
}

/// A handle to the slot of a connection, for its requests.
#[derive(Debug, Clone)]
pub struct ConnectionHandle {
    id: u64,
    connections: Arc<Connections>,
}

/// A request in progress, until it is dropped.
#[derive(Debug)]
#[must_use = "the request ends when the value is dropped"]
pub struct ActiveRequest {
    holder: ConnectionOwner,
    seat: ConnectionHandle,
}

impl Connections {
    /// Makes an empty table. Of the unauthenticated connections, the ones from `proxies` and this machine are closed
    /// last.
    pub fn new(limits: ConnectionLimits, proxies: Vec<IpAddr>, metrics: Arc<Metrics>) -> Self {
        Self { table: Mutex::new(Table::new(limits)), proxies, metrics }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the largest number of connections at the same time.
    pub fn places(&self) -> usize {
        self.lock().limits.places
    }

    /// Adds a connection from an address.
    pub fn open(self: &Arc<Self>, address: IpAddr) -> ConnectionSlot {
        let is_near = address.to_canonical().is_loopback() || self.proxies.contains(&address.to_canonical());
        let close = Arc::new(Notify::new());
        let (id, closed) = self.lock().open(address, is_near, Arc::clone(&close));
        self.metrics.evicted(closed);
        ConnectionSlot { id, close, connections: Arc::clone(self) }
    }

    /// Closes a waiting connection, because the system allows no more open files.
    pub fn spare(&self) {
        let closed = self.lock().evict(|_| true);
        self.metrics.evicted(usize::from(closed));
    }
}

impl ConnectionSlot {
    /// Waits until the slot is needed for another connection.
    pub async fn taken(&self) {
        self.close.notified().await;
    }

    /// Returns a handle to the slot, for requests.
    pub fn seat(&self) -> ConnectionHandle {
        ConnectionHandle { id: self.id, connections: Arc::clone(&self.connections) }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.connections.lock().close(self.id);
    }
}

impl ConnectionHandle {
    /// Starts a request on the connection.
    ///
    /// # Errors
    ///
    /// `REQUEST_LIMIT_EXCEEDED` when the caller has too many requests in progress, and `TEMPORARILY_UNAVAILABLE` when
    /// the server has.
    pub fn begin(&self, caller: Option<&UserName>) -> Result<ActiveRequest, ApiError> {
        match self.connections.lock().begin(self.id, caller) {
            Ok(holder) => Ok(ActiveRequest { holder, seat: self.clone() }),
            Err(Excess::Caller) => Err(ApiError::new(
                Code::RequestLimitExceeded,
                "Too many of your requests are in progress; wait until some of them end.",
            )),
            Err(Excess::Server) => Err(ApiError::new(
                Code::TemporarilyUnavailable,
                "The server is serving as many requests as it can; try again in a moment.",
            )),
        }
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.seat.connections.lock().end(self.seat.id, &self.holder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: [u8; 4] = [10, 0, 0, 1];

    fn table() -> Table {
        // 64 connections, 16 of an address, 56 requests, 28 of a caller, 2 without a caller.
        Table::new(ConnectionLimits::new(64))
    }

    fn far(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    fn open(table: &mut Table, address: IpAddr) -> u64 {
        table.open(address, address == IpAddr::from(PROXY), Arc::default()).0
    }

    fn user(name: &str) -> UserName {
        name.parse().unwrap()
    }

    #[test]
    fn one_address_has_a_share_and_loses_its_own_oldest_connection() {
        let mut table = table();
        let other = open(&mut table, far(1));
        let flood: Vec<u64> = (0..40).map(|_| open(&mut table, far(2))).collect();
        assert_eq!(table.entries.len(), 1 + 16);
        assert!(table.entries.contains_key(&other));
        let left: Vec<u64> = flood.iter().copied().filter(|id| table.entries.contains_key(id)).collect();
        assert_eq!(left, flood[24..], "the newest stay");
        // The addresses of one IPv6 network count as one address. A proxy has no such limit.
        let v6 = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 7, 0, 0, 0, n]);
        for n in 0..40 {
            open(&mut table, v6(n));
        }
        assert_eq!(table.entries.len(), 1 + 16 + 16);
        for _ in 0..20 {
            open(&mut table, IpAddr::from(PROXY));
        }
        assert_eq!(table.entries.len(), 1 + 16 + 16 + 20);
    }

    #[test]
    fn a_new_connection_always_has_a_place_and_known_callers_keep_theirs() {
        let mut table = table();
        let known = open(&mut table, far(200));
        let served = table.begin(known, Some(&user("alice"))).unwrap();
        table.end(known, &served);
        let near = open(&mut table, IpAddr::from(PROXY));
        for n in 0..150 {
            let new = open(&mut table, far(n));
            assert!(table.entries.contains_key(&new));
        }
        assert_eq!(table.entries.len(), 64);
        assert!(table.entries.contains_key(&known) && table.entries.contains_key(&near));
        // The holder of most connections loses one first; then the oldest is closed.
        let two = [open(&mut table, far(150)), open(&mut table, far(150))];
        open(&mut table, far(151));
        assert!(!table.entries.contains_key(&two[0]) && table.entries.contains_key(&two[1]));
    }

    #[test]
    fn when_all_are_known_the_oldest_idle_connection_of_the_caller_with_most_is_closed() {
        let mut table = table();
        let mut idle = |name: &str| {
            let id = open(&mut table, far(1));
            let served = table.begin(id, Some(&user(name))).unwrap();
            table.end(id, &served);
            id
        };
        let bob = idle("bob");
        let alice: Vec<u64> = (0..63).map(|_| idle("alice")).collect();
        let new = open(&mut table, far(2));
        assert!(table.entries.contains_key(&bob) && table.entries.contains_key(&new));
        assert!(!table.entries.contains_key(&alice[0]) && table.entries.contains_key(&alice[1]));
    }

    #[test]
    fn requests_have_shares_and_a_connection_that_serves_one_is_not_closed() {
        let mut table = table();
        let mut ids = Vec::new();
        let mut begin = |table: &mut Table, name: Option<&str>| {
            let id = open(table, IpAddr::from(PROXY));
            table.begin(id, name.map(user).as_ref()).map(|holder| ids.push((id, holder)))
        };
        assert!((0..28).all(|_| begin(&mut table, Some("alice")).is_ok()));
        assert_eq!(begin(&mut table, Some("alice")), Err(Excess::Caller));
        assert!((0..2).all(|_| begin(&mut table, None).is_ok()));
        assert_eq!(begin(&mut table, None), Err(Excess::Caller));
        assert!((0..26).all(|_| begin(&mut table, Some("bob")).is_ok()));
        assert_eq!(begin(&mut table, Some("carol")), Err(Excess::Server));
        for _ in 0..500 {
            open(&mut table, IpAddr::from(PROXY));
        }
        assert_eq!(table.entries.len(), 64);
        assert!(ids.iter().all(|(id, _)| table.entries.contains_key(id)));
        // A request that ends makes room, even on a connection that is gone.
        for (id, holder) in &ids {
            table.close(*id);
            table.end(*id, holder);
        }
        assert_eq!((table.served, table.serving.len()), (0, 0));
        assert_eq!(table.held.values().sum::<usize>(), table.entries.len());
    }
}
