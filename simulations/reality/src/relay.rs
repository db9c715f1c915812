//! The network between real nodes: a relay on loopback that hands on each datagram as late as the plan says.
//!
//! A node listens on a loopback address of its own, 127.1.x.y, and announces another, 127.2.x.y, where a socket of this relay
//! stands for it. What comes in there is known by its source; it waits behind what its sender sent before, at the rate of the
//! sender's uplink, may be lost, travels for the pair's one-way delay, and leaves from the socket that stands for the sender. Each end so
//! sees the other at the address that it announces, as through a NAT that maps one to one, and answers there. It needs neither
//! root nor a kernel module: a network emulator in user space, as Dummynet is one in the kernel (L. Rizzo, "Dummynet: a simple
//! approach to the evaluation of network protocols", ACM CCR 27(1), 1997).
//!
//! What it never does: reorder what one node sends another, wait for anybody, or keep more than [`WAITING_MAX`] datagrams.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use treehouse_sim::{
    network::Loss,
    plan::{NodeIx, Plan},
    random::mix,
};

/// Datagrams under way at once; more are dropped and counted. A thousand nodes have a tenth of that.
pub const WAITING_MAX: usize = 100_000;
/// Bytes of headers below a datagram: IPv4 and UDP.
pub const HEADER_BYTES: u64 = 28;
/// Datagrams whose lateness is kept; a run of 100 nodes has a tenth of that.
const LATE_SAMPLES_MAX: usize = 5_000_000;
/// The longest datagram.
const DATAGRAM_BYTES_MAX: usize = 65_536;
/// A receiving thread keeps its buffer on the heap.
const STACK_BYTES: usize = 128 * 1024;

/// One node's place in the network.
struct Line {
    /// Stands for the node at the address that it announces.
    socket: UdpSocket,
    outer: SocketAddr,
    /// Where the node itself listens.
    inner: SocketAddr,
    uplink_bps: u64,
    /// Propagation to each other node.
    one_way: Vec<Duration>,
    /// When its uplink has sent what it was given.
    free_at: Mutex<Instant>,
    /// Cut off: nothing leaves or reaches it any more.
    is_cut: AtomicBool,
    sent_bytes: AtomicU64,
    sent_to_host_bytes: AtomicU64,
}

struct Datagram {
    from: usize,
    to: usize,
    bytes: Box<[u8]>,
}

/// What waits for its time, in the order of it and then of coming.
#[derive(Default)]
struct Waiting {
    datagrams: BTreeMap<(Instant, u64), Datagram>,
    number: u64,
}

struct Shared {
    lines: Vec<Line>,
    waiting: Mutex<Waiting>,
    earlier: Condvar,
    stops: AtomicBool,
    /// A datagram is lost where a hash of its number is below this share of all hashes.
    loss_share: f64,
    seed: u64,
    carried: AtomicU64,
    dropped: AtomicU64,
    strangers: AtomicU64,
    late_us: Mutex<Vec<u32>>,
}

/// The running relay. It stops when it is dropped.
pub struct Relay {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Relay {
    /// Starts a relay between the nodes of a plan.
    ///
    /// # Errors
    /// Where the system has no such addresses, sockets or threads.
    pub fn start(plan: &Plan) -> io::Result<Self> {
        let lines = (0..plan.nodes.len()).map(|node| Line::new(plan, node)).collect::<io::Result<Vec<_>>>()?;
        let count = lines.len();
        let shared = Arc::new(Shared {
            lines,
            waiting: Mutex::default(),
            earlier: Condvar::new(),
            stops: AtomicBool::new(false),
            loss_share: match plan.loss {
                Loss::Independent { share } => share,
                Loss::None | Loss::Bursty { .. } => 0.0,
            },
            seed: plan.seed,
            carried: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            strangers: AtomicU64::new(0),
            late_us: Mutex::default(),
        });
        let mut relay = Relay { shared, threads: Vec::with_capacity(count + 1) };
        for to in 0..count {
            relay.spawn(move |shared| shared.receive(to))?;
        }
        relay.spawn(Shared::deliver)?;
        Ok(relay)
    }

    fn spawn(&mut self, work: impl FnOnce(&Shared) + Send + 'static) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        self.threads.push(thread::Builder::new().stack_size(STACK_BYTES).spawn(move || work(&shared))?);
        Ok(())
    }

    /// Where a node is to listen.
    pub fn inner(&self, node: NodeIx) -> SocketAddr {
        self.shared.lines[node.index()].inner
    }

    /// What it is to announce.
    pub fn outer(&self, node: NodeIx) -> SocketAddr {
        self.shared.lines[node.index()].outer
    }

    /// Cuts a node off, as a crash of its machine does: what it sends from now on is lost, and so is what is sent to it.
    pub fn cut(&self, node: NodeIx) {
        self.shared.lines[node.index()].is_cut.store(true, Relaxed);
    }

    /// Bytes that a node has sent so far with their headers: to everyone, and to the host among them.
    pub fn sent_bytes(&self, node: NodeIx) -> (u64, u64) {
        let line = &self.shared.lines[node.index()];
        (line.sent_bytes.load(Relaxed), line.sent_to_host_bytes.load(Relaxed))
    }

    /// Datagrams that were dropped because too many were under way, and those that no node of the plan sent.
    pub fn failures(&self) -> (u64, u64) {
        (self.shared.dropped.load(Relaxed), self.shared.strangers.load(Relaxed))
    }

    /// How much later than they should the datagrams so far were handed on, in microseconds; takes them out.
    pub fn take_late_us(&self) -> Vec<u32> {
        std::mem::take(&mut *lock(&self.shared.late_us))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        {
            let _waiting = lock(&self.shared.waiting);
            self.shared.stops.store(true, Relaxed);
        }
        self.shared.earlier.notify_all();
        for line in &self.shared.lines {
            // It wakes the thread that receives there. A system that refuses it would refuse everything else as well.
            let _ = line.socket.send_to(&[], line.outer);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Line {
    fn new(plan: &Plan, node: usize) -> io::Result<Self> {
        let of = &plan.nodes[node];
        let address = |network: u8| {
            let [.., high, low] = (node as u32 + 1).to_be_bytes();
            IpAddr::V4(Ipv4Addr::new(127, network, high, low))
        };
        let socket = UdpSocket::bind((address(2), 0))?;
        // The node binds it again; nobody else uses this address.
        let inner = UdpSocket::bind((address(1), 0))?.local_addr()?;
        let one_way =
            |to: &treehouse_sim::plan::NodePlan| Duration::from_micros(plan.delay.one_way_us(of.site, to.site));
        Ok(Line {
            outer: socket.local_addr()?,
            socket,
            inner,
            uplink_bps: of.uplink_bps.max(1),
            one_way: plan.nodes.iter().map(one_way).collect(),
            free_at: Mutex::new(Instant::now()),
            is_cut: AtomicBool::new(false),
            sent_bytes: AtomicU64::new(0),
            sent_to_host_bytes: AtomicU64::new(0),
        })
    }

    /// When something of this many bytes that is sent now arrives.
    fn arrives(&self, to: usize, bytes: u64, now: Instant) -> Instant {
        let mut free_at = lock(&self.free_at);
        let takes = Duration::from_nanos(bytes * 8 * 1_000_000_000 / self.uplink_bps);
        *free_at = (*free_at).max(now) + takes;
        *free_at + self.one_way[to]
    }
}

impl Shared {
    /// Takes in what is sent to a node, until the relay stops.
    fn receive(&self, to: usize) {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        let socket = &self.lines[to].socket;
        while !self.stops.load(Relaxed) {
            // An error is that of a datagram sent before, to a node that has gone.
            let Ok((length, source)) = socket.recv_from(&mut buffer) else { continue };
            if source == self.lines[to].outer {
                continue;
            }
            match self.sender(source) {
                Some(from) => self.carry(from, to, &buffer[..length]),
                None => _ = self.strangers.fetch_add(1, Relaxed),
            }
        }
    }

    fn sender(&self, source: SocketAddr) -> Option<usize> {
        let IpAddr::V4(ip) = source.ip() else { return None };
        let [_, _, high, low] = ip.octets();
        let node = usize::from(u16::from_be_bytes([high, low])).checked_sub(1)?;
        self.lines.get(node).is_some_and(|line| line.inner == source).then_some(node)
    }

    fn carry(&self, from: usize, to: usize, bytes: &[u8]) {
        let sender = &self.lines[from];
        if sender.is_cut.load(Relaxed) {
            return;
        }
        let wire_bytes = bytes.len() as u64 + HEADER_BYTES;
        sender.sent_bytes.fetch_add(wire_bytes, Relaxed);
        if to == NodeIx::HOST.index() {
            sender.sent_to_host_bytes.fetch_add(wire_bytes, Relaxed);
        }
        let arrives = sender.arrives(to, wire_bytes, Instant::now());
        if self.loses(self.carried.fetch_add(1, Relaxed)) {
            return;
        }
        let mut waiting = lock(&self.waiting);
        if waiting.datagrams.len() >= WAITING_MAX {
            self.dropped.fetch_add(1, Relaxed);
            return;
        }
        waiting.number += 1;
        let key = (arrives, waiting.number);
        let is_first = waiting.datagrams.first_key_value().is_none_or(|(first, _)| key < *first);
        waiting.datagrams.insert(key, Datagram { from, to, bytes: bytes.into() });
        drop(waiting);
        if is_first {
            self.earlier.notify_one();
        }
    }

    fn loses(&self, number: u64) -> bool {
        let uniform = (mix(self.seed ^ mix(number)) >> 11) as f64 / (1_u64 << 53) as f64;
        uniform < self.loss_share
    }

    /// Hands on what is due, until the relay stops.
    fn deliver(&self) {
        let mut waiting = lock(&self.waiting);
        while !self.stops.load(Relaxed) {
            let now = Instant::now();
            let Some((due, _)) = waiting.datagrams.first_key_value().map(|(key, _)| *key) else {
                waiting = self.earlier.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            if due > now {
                let slept = self.earlier.wait_timeout(waiting, due - now);
                waiting = slept.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let Some((_, datagram)) = waiting.datagrams.pop_first() else { continue };
            drop(waiting);
            self.hand_on(&datagram, now - due);
            waiting = lock(&self.waiting);
        }
    }

    fn hand_on(&self, datagram: &Datagram, late: Duration) {
        let to = &self.lines[datagram.to];
        if !to.is_cut.load(Relaxed) {
            // A node that has gone refuses it, which is as good as lost.
            let _ = self.lines[datagram.from].socket.send_to(&datagram.bytes, to.inner);
        }
        let mut late_us = lock(&self.late_us);
        if late_us.len() < LATE_SAMPLES_MAX {
            late_us.push(u32::try_from(late.as_micros()).unwrap_or(u32::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use treehouse_sim::scenario::Scenario;

    use super::*;

    fn plan() -> Plan {
        let sets = [("members", "3"), ("arrivals.model", "none"), ("delay.model", "uniform")];
        let sets = sets.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Scenario::load("reality", &sets).and_then(|scenario| scenario.plan(4)).expect("the scenario is right")
    }

    /// A node that is nothing but its socket.
    fn node(relay: &Relay, node: u32) -> UdpSocket {
        let socket = UdpSocket::bind(relay.inner(NodeIx(node))).expect("its address is free");
        socket.set_read_timeout(Some(Duration::from_millis(500))).expect("it is not zero");
        socket
    }

    #[test]
    fn a_datagram_comes_as_late_as_the_plan_says_from_where_its_sender_is_announced() {
        let plan = plan();
        let relay = Relay::start(&plan).expect("loopback has many addresses");
        let (a, b) = (node(&relay, 0), node(&relay, 1));
        let one_way = Duration::from_micros(plan.delay.one_way_us(plan.nodes[0].site, plan.nodes[1].site));
        let begun = Instant::now();
        for number in 0..20_u8 {
            a.send_to(&[number; 100], relay.outer(NodeIx(1))).expect("it is sent");
        }
        let mut buffer = [0; 200];
        for number in 0..20_u8 {
            let (length, source) = b.recv_from(&mut buffer).expect("it comes");
            assert_eq!((length, buffer[0], source), (100, number, relay.outer(NodeIx(0))), "in the order of sending");
            assert!(begun.elapsed() >= one_way, "{:?} for {one_way:?}", begun.elapsed());
        }
        assert!(begun.elapsed() < one_way + Duration::from_millis(200), "{:?} for {one_way:?}", begun.elapsed());
        assert_eq!(relay.sent_bytes(NodeIx(0)), (20 * (100 + HEADER_BYTES), 0));
        b.send_to(&[1; 10], relay.outer(NodeIx(0))).expect("it is sent");
        assert_eq!(a.recv_from(&mut buffer).expect("the way back"), (10, relay.outer(NodeIx(1))));
        assert_eq!(relay.sent_bytes(NodeIx(1)), (10 + HEADER_BYTES, 10 + HEADER_BYTES));
        assert_eq!(relay.failures(), (0, 0));
    }

    #[test]
    fn a_node_that_is_cut_off_is_heard_no_more_and_strangers_never() {
        let relay = Relay::start(&plan()).expect("loopback has many addresses");
        let (a, b) = (node(&relay, 0), node(&relay, 1));
        relay.cut(NodeIx(0));
        a.send_to(&[1; 10], relay.outer(NodeIx(1))).expect("it is sent");
        b.send_to(&[1; 10], relay.outer(NodeIx(0))).expect("it is sent");
        UdpSocket::bind("127.0.0.1:0").and_then(|of| of.send_to(&[1; 10], relay.outer(NodeIx(1)))).expect("it is sent");
        let mut buffer = [0; 200];
        assert!(b.recv_from(&mut buffer).is_err() && a.recv_from(&mut buffer).is_err());
        assert_eq!(relay.failures(), (0, 1));
    }

    #[test]
    fn what_an_uplink_carries_takes_its_time() {
        let mut plan = plan();
        plan.nodes[0].uplink_bps = 100_000;
        let relay = Relay::start(&plan).expect("loopback has many addresses");
        let (a, b) = (node(&relay, 0), node(&relay, 1));
        let begun = Instant::now();
        for _ in 0..10 {
            a.send_to(&[1; 222], relay.outer(NodeIx(1))).expect("it is sent");
        }
        let mut buffer = [0; 500];
        (0..10).for_each(|_| assert_eq!(b.recv_from(&mut buffer).expect("it comes").0, 222));
        // 250 bytes with their headers take 20 ms each.
        let one_way = Duration::from_micros(plan.delay.one_way_us(plan.nodes[0].site, plan.nodes[1].site));
        assert!(begun.elapsed() >= one_way + Duration::from_millis(200), "{:?}", begun.elapsed());
    }
}
