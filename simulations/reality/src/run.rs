//! A whole run: the relay, a node for each member of the plan, and what came of them.

use std::{
    collections::BTreeMap,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{runtime, task::JoinSet};
use treehouse_net::NetError;
use treehouse_sim::{
    measure::Outcome,
    plan::{NodeIx, Plan},
    strategies::treehouse::{Keys, Settings},
};
use treehouse_wire::Shipped;

use crate::{
    member::{Life, Member, World, listen, wall},
    record,
    relay::Relay,
};

/// Worker threads of the nodes.
const WORKERS: usize = 2;
/// From when all nodes listen until the run begins.
const HEAD_START: Duration = Duration::from_millis(300);
/// How long tasks may take to end once the run is over.
const SHUTDOWN_MAX: Duration = Duration::from_secs(2);

/// A run is worth nothing where the relay was later than this in more than one case of a hundred: the machine had no time for it.
const LATE_P99_US_MAX: u32 = 10_000;

/// Why a run with real nodes is none.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The network between the nodes cannot be made here.
    #[error(
        "cannot make a network of loopback addresses (Linux has them all; elsewhere 127.1.0.0/16 and 127.2.0.0/16 must be set up): {0}"
    )]
    Relay(#[source] io::Error),
    /// The machine lacks something else.
    #[error("cannot start the nodes: {0}")]
    Start(#[source] io::Error),
    /// A node's network did not come up.
    #[error("node {node}: {error}")]
    Node {
        /// Its number.
        node: u32,
        /// What is wrong.
        error: NetError,
    },
    /// The nodes or the relay did something that makes the figures worthless.
    #[error("the run says nothing: {0}")]
    Worthless(String),
}

/// What came of a run.
#[derive(Debug)]
pub struct Reality {
    /// The figures, as the simulator has them.
    pub outcome: Outcome,
    /// How busy the machine was.
    pub load: Load,
}

/// How much the machine held the run up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// Cores that the run took.
    pub cores: f64,
    /// How much later than they should datagrams were handed on by the relay: what 99 of 100 do not exceed.
    pub late_p99_us: u32,
}

/// Runs real nodes through a plan, in real time. The plan must pass [`check`](crate::check).
///
/// # Errors
/// [`RunError`].
pub fn run(plan: &Arc<Plan>, settings: Settings) -> Result<Reality, RunError> {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    let runtime = runtime.map_err(RunError::Start)?;
    let result = runtime.block_on(live(plan, settings));
    runtime.shutdown_timeout(SHUTDOWN_MAX);
    result
}

async fn live(plan: &Arc<Plan>, settings: Settings) -> Result<Reality, RunError> {
    let keys = Keys::new(plan.seed, |seed| *seed);
    let relay = Relay::start(plan).map_err(RunError::Relay)?;
    let nodes = || (0..plan.nodes.len() as u32).map(NodeIx);
    let failed = |node: NodeIx| move |error| RunError::Node { node: node.0, error };
    let mut endpoints = Vec::with_capacity(plan.nodes.len());
    for node in nodes() {
        endpoints.push(listen(&relay, &keys, plan, node).await.map_err(failed(node))?);
    }
    let index: BTreeMap<_, _> = endpoints.iter().map(treehouse_net::Endpoint::node_id).zip(nodes()).collect();
    let address = endpoints.first().and_then(|host| host.addresses().first().cloned()).unwrap_or_default();
    let invite = keys.invite(&Shipped, wall(), plan.duration_us, address);
    let origin = Instant::now() + HEAD_START;
    let world = Arc::new(World { plan: Arc::clone(plan), settings, keys, invite, index, relay, origin });
    let cpu_before_s = cpu_s();
    let mut tasks = JoinSet::new();
    for (node, endpoint) in nodes().zip(endpoints) {
        let member = Member::new(Arc::clone(&world), node);
        tasks.spawn(async move { (node, member.live(endpoint).await) });
    }
    let mut lives: Vec<Life> = nodes().map(|_| Life::default()).collect();
    while let Some(ended) = tasks.join_next().await {
        let (node, life) = ended.map_err(|error| RunError::Worthless(format!("a node's task ended: {error}")))?;
        lives[node.index()] = life.map_err(failed(node))?;
    }
    let mut late_us = world.relay.take_late_us();
    late_us.sort_unstable();
    let load = Load {
        cores: (cpu_s() - cpu_before_s) / origin.elapsed().as_secs_f64(),
        late_p99_us: late_us.get(late_us.len() * 99 / 100).copied().unwrap_or(0),
    };
    sound(&world, &lives, load)?;
    Ok(Reality { outcome: record::outcome(plan, &lives, late_us.len() as u64), load })
}

/// Whether the run can be believed.
fn sound(world: &World, lives: &[Life], load: Load) -> Result<(), RunError> {
    if load.late_p99_us > LATE_P99_US_MAX {
        let late_ms = load.late_p99_us / 1000;
        let advice = "run it again when the machine has less to do";
        return Err(RunError::Worthless(format!("the relay handed datagrams on up to {late_ms} ms late; {advice}")));
    }
    let (dropped, strangers) = world.relay.failures();
    let captured_dropped: u64 = lives.iter().map(|life| life.captured_dropped).sum();
    let wrong = [
        (dropped, "datagrams found the relay full"),
        (strangers, "datagrams came from addresses of no node"),
        (captured_dropped, "frames of the voice found the driver busy"),
    ];
    match wrong.into_iter().find(|(count, _)| *count > 0) {
        Some((count, what)) => Err(RunError::Worthless(format!("{count} {what}"))),
        None => Ok(()),
    }
}

/// Processor time of this process, in seconds.
fn cpu_s() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
