//! How far a run or a sweep is: bars with the time left on a terminal, a line now and then in a log, JSON for a program.
//!
//! Bars and lines go to standard error, so that results can be redirected; JSON goes where the summary goes.

use std::{
    io::{self, IsTerminal},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressStyle};
use serde_json::json;
use treehouse_sim::{
    strategies::Progress,
    sweep::{Cell, Event},
};

use super::output;

/// Time between lines in a log.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Time between lines for a program.
const JSON_EVERY: Duration = Duration::from_millis(200);
/// Steps of a bar.
const STEPS: u64 = 1000;

enum Shown {
    Bar(ProgressBar),
    Lines,
    Json,
}

/// The progress of one run.
pub struct Run {
    title: String,
    shown: Shown,
    begun: Instant,
    said: Instant,
}

impl Run {
    /// A run of this title begins.
    pub fn new(title: &str, json: bool) -> Self {
        let shown = if json {
            Shown::Json
        } else if io::stderr().is_terminal() {
            Shown::Bar(bar(ProgressBar::new(STEPS), title))
        } else {
            Shown::Lines
        };
        let now = Instant::now();
        Run { title: title.to_owned(), shown, begun: now, said: now }
    }

    /// It has come so far.
    ///
    /// # Errors
    /// Where standard output is closed.
    pub fn seen(&mut self, of: Progress) -> io::Result<()> {
        let share = of.now_us as f64 / of.duration_us.max(1) as f64;
        match &self.shown {
            Shown::Bar(bar) => bar.set_position((share * STEPS as f64) as u64),
            Shown::Lines if self.said.elapsed() >= LINE_EVERY => {
                self.said = Instant::now();
                let (now_s, duration_s) = (of.now_us / 1_000_000, of.duration_us / 1_000_000);
                let left = left(self.begun.elapsed(), share);
                eprintln!("{}: {now_s} of {duration_s} s simulated, {} events, {left} left", self.title, of.events);
            }
            Shown::Json if self.said.elapsed() >= JSON_EVERY => {
                self.said = Instant::now();
                let (now_s, duration_s) = (of.now_us as f64 / 1e6, of.duration_us as f64 / 1e6);
                let line =
                    json!({"event": "progress", "simulated_s": now_s, "duration_s": duration_s, "events": of.events});
                output::say(&line.to_string())?;
            }
            Shown::Lines | Shown::Json => {}
        }
        Ok(())
    }

    /// It is over.
    pub fn end(self) {
        if let Shown::Bar(bar) = self.shown {
            bar.finish_and_clear();
        }
    }
}

fn bar(bar: ProgressBar, title: &str) -> ProgressBar {
    let template = "{msg} [{bar:30}] {percent}%, {eta} left";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style.progress_chars("=> ")).with_message(title.to_owned())
}

/// What is left to do, for people, when so much was done in this time.
fn left(took: Duration, share: f64) -> HumanDuration {
    let left_s = took.as_secs_f64() * (1.0 - share).max(0.0) / share.max(1e-6);
    HumanDuration(Duration::try_from_secs_f64(left_s).unwrap_or(Duration::MAX))
}

/// The progress of a sweep.
pub struct Sweep {
    state: Mutex<State>,
    begun: Instant,
    whole: usize,
}

struct State {
    /// The bar of the whole and one of each worker; none in a log.
    bars: Option<(ProgressBar, Vec<ProgressBar>)>,
    /// How far each worker is with its cell.
    shares: Vec<f64>,
    finished: usize,
    said: Instant,
    failures: Vec<String>,
}

impl Sweep {
    /// So many cells begin to run, so many at once.
    pub fn new(whole: usize, at_once: usize) -> Self {
        let now = Instant::now();
        let bars = io::stderr().is_terminal().then(|| {
            let all = MultiProgress::new();
            let total = bar(all.add(ProgressBar::new(whole as u64 * STEPS)), "cells");
            (total, (0..at_once).map(|_| bar(all.add(ProgressBar::new(STEPS)), "")).collect())
        });
        let state = State { bars, shares: vec![0.0; at_once], finished: 0, said: now, failures: Vec::new() };
        Sweep { state: Mutex::new(state), begun: now, whole }
    }

    /// Something happened to the cell of a worker.
    pub fn seen(&self, worker: usize, event: Event<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.shares[worker] = 0.0;
        match event {
            Event::Started(cell) => state.name(worker, cell),
            Event::Under { share } => state.shares[worker] = share,
            Event::Finished(cell) => {
                state.finished += 1;
                let (finished, whole) = (state.finished, self.whole);
                let left = left(self.begun.elapsed(), finished as f64 / whole.max(1) as f64);
                if state.bars.is_none() {
                    eprintln!("{finished} of {whole} cells, {left} left: {} is finished", cell.name());
                    state.said = Instant::now();
                }
            }
            Event::Failed { cell, reason } => {
                state.finished += 1;
                state.fail(format!("{} failed: {reason}", cell.name()));
            }
        }
        state.draw(worker);
        if state.bars.is_none() && state.said.elapsed() >= LINE_EVERY {
            state.said = Instant::now();
            let share = state.done() / self.whole.max(1) as f64;
            eprintln!("{} of {} cells, {} left", state.finished, self.whole, left(self.begun.elapsed(), share));
        }
    }

    /// It is over: the reasons of the cells that failed.
    pub fn end(self) -> Vec<String> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some((total, workers)) = &state.bars {
            workers.iter().for_each(ProgressBar::finish_and_clear);
            total.finish_and_clear();
        }
        state.failures
    }
}

impl State {
    /// Cells that are done, parts of them included.
    fn done(&self) -> f64 {
        self.finished as f64 + self.shares.iter().sum::<f64>()
    }

    fn name(&mut self, worker: usize, cell: &Cell) {
        if let Some((_, workers)) = &self.bars {
            workers[worker].reset();
            workers[worker].set_message(cell.name());
        }
    }

    fn fail(&mut self, sentence: String) {
        match &self.bars {
            Some((total, _)) => total.println(&sentence),
            None => eprintln!("{sentence}"),
        }
        self.failures.push(sentence);
    }

    fn draw(&self, worker: usize) {
        if let Some((total, workers)) = &self.bars {
            workers[worker].set_position((self.shares[worker] * STEPS as f64) as u64);
            total.set_position((self.done() * STEPS as f64) as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_what_the_time_taken_foretells() {
        assert_eq!(left(Duration::from_secs(10), 0.25).to_string(), "30 seconds");
        assert_eq!(left(Duration::from_secs(10), 1.0).to_string(), "0 seconds");
        // Nothing done yet foretells nothing, and must not overflow either.
        let _ = left(Duration::from_secs(1_000_000), 0.0).to_string();
    }
}
