//! Where a session's events go: lines of JSON, a live view on a terminal, or plain lines.

use std::{
    io,
    time::{Duration, Instant},
};

use crate::{
    events::{Event, Line},
    failure::Failure,
    output::{LineSender, Lines},
    terminal::{self, Screen},
    view::View,
};

/// Lines that wait for a slow reader at most; one more is dropped and counted.
const QUEUE_LINES: usize = 1_024;
/// The live view is drawn this often at most.
const REDRAW: Duration = Duration::from_millis(200);

/// How events are shown.
enum Style {
    Json,
    /// Lines that scroll by, and a block below them.
    Live {
        view: View,
        screen: Screen,
        drawn: Option<Instant>,
    },
    /// Lines alone.
    Plain(View),
}

/// Where events go. Nothing here ever waits.
pub struct Outlet {
    style: Style,
    lines: Lines<Text>,
    sender: LineSender<Text>,
    started: Instant,
}

/// What the writer thread formats.
enum Text {
    Event(Line),
    /// Ends with its own line break.
    Drawn(String),
    Plain(String),
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Text::Event(line) => line.fmt(f),
            Text::Drawn(text) => f.write_str(text.strip_suffix('\n').unwrap_or(text)),
            Text::Plain(text) => f.write_str(text),
        }
    }
}

impl Outlet {
    /// Events as JSON where asked for; else a live view on a terminal, and plain lines elsewhere. Where standard output is `taken` by
    /// sound they go to standard error.
    ///
    /// # Errors
    /// [`Failure::Failed`] where the system gives no thread.
    pub fn start(json: bool, taken: bool) -> Result<Self, Failure> {
        let out: Box<dyn io::Write + Send> = if taken { Box::new(io::stderr()) } else { Box::new(io::stdout()) };
        let lines = Lines::start("treehouse-output", QUEUE_LINES, out).map_err(|error| {
            Failure::Failed(format!("cannot start the output thread: {error}; close other programs"))
        })?;
        let style = if json {
            Style::Json
        } else if !taken && terminal::is_terminal() {
            Style::Live { view: View::default(), screen: Screen::default(), drawn: None }
        } else {
            Style::Plain(View::default())
        };
        let sender = lines.sender();
        Ok(Outlet { style, lines, sender, started: Instant::now() })
    }

    /// Shows an event.
    pub fn event(&mut self, event: Event) {
        match &mut self.style {
            Style::Json => {
                let at_ms = self.started.elapsed().as_millis() as u64;
                self.sender.send(Text::Event(Line { event, at_ms }));
            }
            Style::Plain(view) => {
                if let Some(line) = view.apply(&event) {
                    self.sender.send(Text::Plain(line));
                }
            }
            Style::Live { view, .. } => {
                let line = view.apply(&event);
                self.draw(line);
            }
        }
    }

    /// Notes how loud somebody is, in -dBov.
    pub fn level(&mut self, peer: &str, minus_dbov: u8, now: Instant) {
        if let Style::Live { view, .. } = &mut self.style {
            view.level(peer, minus_dbov, now);
        }
    }

    /// Draws the live view if it is time; call it often.
    pub fn refresh(&mut self, now: Instant) {
        if let Style::Live { drawn, .. } = &self.style
            && drawn.is_none_or(|at| now.duration_since(at) >= REDRAW)
        {
            self.draw(None);
        }
    }

    fn draw(&mut self, line: Option<String>) {
        if let Style::Live { view, screen, drawn } = &mut self.style {
            let now = Instant::now();
            let scrolled: Vec<String> = line.into_iter().collect();
            let text = screen.draw(&scrolled, &view.block(now), terminal::columns());
            *drawn = Some(now);
            if !text.is_empty() {
                self.sender.send(Text::Drawn(text));
            }
        }
    }

    /// Events are shown as JSON.
    pub fn is_json(&self) -> bool {
        matches!(self.style, Style::Json)
    }

    /// Nobody can read any more.
    pub fn is_broken(&self) -> bool {
        self.sender.is_broken()
    }

    /// Says that the session is over, and writes all that waits.
    pub fn close(mut self, reason: &str) {
        if let Style::Live { view, .. } = &mut self.style {
            // The block goes; what happened stays.
            *view = View::default();
        }
        let events_dropped = self.sender.dropped();
        self.event(Event::Closed { reason: reason.to_owned(), events_dropped });
        self.lines.finish();
    }
}
