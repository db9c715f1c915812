//! What a packet costs its sender, per frame and child.
//!
//! `cargo bench -p treehouse-net --profile dev --bench fanout [-- CHILDREN...]`
//!
//! One process sends one voice to 16, 64 and 200 children, 50 packets of 191 bytes a second (k = 1) or 16.7 of 353 (k = 3),
//! in three ways: over this crate's links; over raw quinn streams with the same transport settings, keys and framing, four
//! long-lived streams a child; and as bare datagrams, which is what the kernel alone costs. The children live in a
//! second process, so that the sender's CPU time is its own. It prints a table and asserts nothing.

mod links;
mod raw;
mod udp;

use std::{
    env,
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// How long each case is measured, after [`WARM_UP`].
const MEASURED: Duration = Duration::from_secs(8);
/// Long enough for handshakes, path discovery and the first acknowledgements to be over.
const WARM_UP: Duration = Duration::from_secs(2);
/// Each case is measured so often, the ways in turn; the least is reported, which other load disturbs least.
const ROUNDS: usize = 2;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// A way to bring packets to children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Links,
    Quinn,
    Udp,
}

impl Way {
    const ALL: [Way; 3] = [Way::Links, Way::Quinn, Way::Udp];

    fn name(self) -> &'static str {
        match self {
            Way::Links => "links",
            Way::Quinn => "quinn",
            Way::Udp => "udp",
        }
    }
}

/// One voice to some children.
#[derive(Clone, Copy, Debug)]
struct Case {
    children: usize,
    /// Frames in a packet.
    k: u32,
}

impl Case {
    /// Bytes of a packet: header, tag, signature, level, and frames of 80 bytes with their lengths.
    fn packet(self) -> Vec<u8> {
        vec![0x5a; if self.k == 1 { 191 } else { 353 }]
    }

    fn interval(self) -> Duration {
        Duration::from_millis(20) * self.k
    }

    fn packets(self, within: Duration) -> u32 {
        (within.as_millis() / self.interval().as_millis()) as u32
    }
}

/// What one case has cost.
#[derive(Clone, Copy, Debug)]
struct Cost {
    us_per_frame_and_child: f64,
    delivered: f64,
}

/// CPU time of this process so far, all threads.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// The process that the children live in.
struct Receivers {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Receivers {
    fn start(way: Way, children: usize, argument: &str) -> Result<Self, Failed> {
        let mut process = Command::new(env::current_exe()?)
            .args(["receive", way.name(), &children.to_string(), argument])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = BufReader::new(process.stdout.take().ok_or("no output")?);
        Ok(Receivers { process, output })
    }

    fn line(&mut self) -> Result<String, Failed> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    /// Ends the children; says how many packets they have received altogether.
    fn end(mut self) -> Result<u64, Failed> {
        drop(self.process.stdin.take());
        let received = self.line()?.parse()?;
        self.process.wait()?;
        Ok(received)
    }
}

/// Waits until the sender's process closes this one's standard input.
async fn until_told() {
    let _ = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0])).await;
}

fn runtime() -> Result<tokio::runtime::Runtime, Failed> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

fn measure(way: Way, case: Case) -> Result<Cost, Failed> {
    let runtime = runtime()?;
    let cost = runtime.block_on(async {
        match way {
            Way::Links => links::send(case).await,
            Way::Quinn => raw::send(case).await,
            Way::Udp => udp::send(case).await,
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    cost
}

fn cost(case: Case, cpu: Duration, received: u64) -> Cost {
    let children = case.children as f64;
    let frames = f64::from(case.packets(MEASURED) * case.k);
    let sent = f64::from(case.packets(MEASURED) + case.packets(WARM_UP)) * children;
    Cost { us_per_frame_and_child: cpu.as_secs_f64() * 1e6 / (frames * children), delivered: received as f64 / sent }
}

fn receive(arguments: &[String]) -> Result<(), Failed> {
    let [way, children, argument] = arguments else { return Err("usage: receive WAY CHILDREN ARGUMENT".into()) };
    let children = children.parse()?;
    let received = runtime()?.block_on(async {
        match way.as_str() {
            "links" => links::receive(children, argument).await,
            "quinn" => raw::receive(children, argument).await,
            _ => udp::receive(children).await,
        }
    })?;
    println!("{received}");
    Ok(())
}

fn table(children: &[usize]) -> Result<(), Failed> {
    println!("Sender CPU in us per frame and child, least of {ROUNDS} runs of {} s", MEASURED.as_secs());
    println!("children  k    links    quinn      udp  links/quinn  delivered");
    for &children in children {
        let mut of_k = Vec::new();
        for k in [1, 3] {
            let case = Case { children, k };
            let mut least = [f64::MAX; Way::ALL.len()];
            let mut delivered = f64::MAX;
            for _ in 0..ROUNDS {
                for (way, least) in Way::ALL.into_iter().zip(&mut least) {
                    let cost = measure(way, case)?;
                    *least = least.min(cost.us_per_frame_and_child);
                    delivered = delivered.min(cost.delivered);
                }
            }
            let [links, quinn, udp] = least;
            println!(
                "{children:8}  {k}  {links:7.2}  {quinn:7.2}  {udp:7.2}  {:11.2}  {:8.2} %",
                links / quinn,
                delivered * 100.0
            );
            of_k.push(links);
        }
        if let [one, three] = of_k[..] {
            println!("{children:8}  links, k = 3 to k = 1: {:.2}", three / one);
        }
    }
    Ok(())
}

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.first().is_some_and(|argument| argument == "receive") {
        return receive(&arguments[1..]);
    }
    let children: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    match (children.as_slice(), arguments.as_slice()) {
        ([], []) => table(&[16, 64, 200]),
        // A name asks for this benchmark or for another one.
        ([], names) if names.iter().all(|name| !"fanout sender cpu".contains(name.as_str())) => Ok(()),
        ([], _) => table(&[16, 64, 200]),
        (children, _) => table(children),
    }
}
