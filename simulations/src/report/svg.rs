//! Plots as inline SVG: lines with bands, and dots with intervals. Colours are classes, so that the page's style decides on them
//! in the light and in the dark.

use std::fmt::Write;

use super::figures::number;
use crate::statistics::Interval;

/// Series that have a colour of their own; more begin again.
pub const COLOURS: usize = 8;
const WIDTH: f64 = 620.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 132.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 46.0;
/// Least distance of two labels at the right.
const LINE_HEIGHT: f64 = 14.0;

/// One series.
pub struct Line {
    /// What stands at its end.
    pub label: String,
    /// Its colour's number.
    pub colour: usize,
    /// Its points, from left to right.
    pub points: Vec<(f64, Interval)>,
}

/// The axes of a plot of lines.
pub struct Axes {
    /// What is to the right, with its unit.
    pub x: &'static str,
    /// What is up, with its unit.
    pub y: &'static str,
    /// Whether steps to the right multiply.
    pub is_log: bool,
    /// Whether the points stand for themselves and nothing is between them.
    pub has_marks: bool,
    /// The least span upwards; data may widen it.
    pub y_range: Option<(f64, f64)>,
}

/// Text that is safe between tags and in attributes.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Round numbers that divide a span into about this many parts.
fn ticks(low: f64, high: f64, parts: f64) -> Vec<f64> {
    let span = high - low;
    if !span.is_finite() || span <= 0.0 {
        return vec![low];
    }
    let raw = span / parts;
    let magnitude = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|of| of * magnitude >= raw).unwrap_or(10.0) * magnitude;
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|at| at as f64 * step).collect()
}

/// Powers of ten, with their halves and fifths where there is room.
fn log_ticks(low: f64, high: f64) -> Vec<f64> {
    let decades = (high / low).log10();
    let parts: &[f64] = if decades > 2.5 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let of = |power: i32| parts.iter().map(move |part| part * 10_f64.powi(power));
    let powers = low.log10().floor() as i32..=high.log10().ceil() as i32;
    powers.flat_map(of).filter(|at| (low..=high).contains(at)).collect()
}

/// As many digits as the distance of ticks needs.
fn tick_text(at: f64, ticks: &[f64]) -> String {
    let step = ticks.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
    let step = if step.is_finite() { step } else { at.abs().max(1.0) };
    number(at, (-step.log10() - 1e-9).ceil().clamp(0.0, 6.0) as usize)
}

/// From data to the picture.
struct Scale {
    is_log: bool,
    x: (f64, f64),
    y: (f64, f64),
}

impl Scale {
    fn of(axes: &Axes, lines: &[Line]) -> Option<Self> {
        let points = || lines.iter().flat_map(|line| &line.points);
        let least = |of: &dyn Fn(&(f64, Interval)) -> f64| points().map(of).fold(f64::INFINITY, f64::min);
        let most = |of: &dyn Fn(&(f64, Interval)) -> f64| points().map(of).fold(f64::NEG_INFINITY, f64::max);
        let (x0, x1) = (least(&|of| of.0), most(&|of| of.0));
        let (mut y0, mut y1) = (least(&|of| of.1.low()), most(&|of| of.1.high()));
        if let Some((low, high)) = axes.y_range {
            (y0, y1) = (y0.min(low), y1.max(high));
        }
        if y1 - y0 < 1e-12 {
            y1 = y0 + 1.0;
        }
        let x1 = if x1 > x0 { x1 } else { x0 + 1.0 };
        [x0, x1, y0, y1].iter().all(|of| of.is_finite()).then_some(Scale {
            is_log: axes.is_log,
            x: (x0, x1),
            y: (y0, y1),
        })
    }

    fn x(&self, at: f64) -> f64 {
        let share = if self.is_log {
            (at / self.x.0).ln() / (self.x.1 / self.x.0).ln()
        } else {
            (at - self.x.0) / (self.x.1 - self.x.0)
        };
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, at: f64) -> f64 {
        HEIGHT - BOTTOM - (at - self.y.0) / (self.y.1 - self.y.0) * (HEIGHT - TOP - BOTTOM)
    }
}

/// Lines with their bands, each named at its end.
pub fn lines(axes: &Axes, lines: &[Line]) -> String {
    let Some(scale) = Scale::of(axes, lines) else {
        return "<p class=\"none\">Nothing was observed.</p>".to_owned();
    };
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{} over {}\">",
        escape(axes.y),
        escape(axes.x)
    );
    draw_axes(&mut out, axes, &scale);
    for line in lines {
        draw_line(&mut out, line, axes, &scale);
    }
    draw_labels(&mut out, lines, &scale);
    out.push_str("</svg>");
    out
}

fn draw_axes(out: &mut String, axes: &Axes, scale: &Scale) {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    let across = if axes.is_log { log_ticks(scale.x.0, scale.x.1) } else { ticks(scale.x.0, scale.x.1, 6.0) };
    let up = ticks(scale.y.0, scale.y.1, 5.0);
    // Writing to a String cannot fail.
    for at in &up {
        let y = scale.y(*at);
        let text = tick_text(*at, &up);
        let _ = write!(out, "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>");
        let _ = write!(out, "<text class=\"tick end\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>", LEFT - 7.0, y + 4.0);
    }
    for at in &across {
        let x = scale.x(*at);
        let text = if axes.is_log { number(*at, if *at < 1.0 { 1 } else { 0 }) } else { tick_text(*at, &across) };
        let _ = write!(out, "<path class=\"axis\" d=\"M{x:.1} {bottom}v4\"/>");
        let _ = write!(out, "<text class=\"tick mid\" x=\"{x:.1}\" y=\"{:.1}\">{text}</text>", bottom + 17.0);
    }
    let _ = write!(out, "<path class=\"axis\" d=\"M{LEFT} {bottom}H{right}\"/>");
    let middle = (LEFT + right) / 2.0;
    let _ =
        write!(out, "<text class=\"name mid\" x=\"{middle:.1}\" y=\"{:.1}\">{}</text>", HEIGHT - 8.0, escape(axes.x));
}

fn draw_line(out: &mut String, line: &Line, axes: &Axes, scale: &Scale) {
    let class = line.colour % COLOURS;
    let at = |x: f64, y: f64| format!("{:.1} {:.1}", scale.x(x), scale.y(y));
    if line.points.iter().any(|(_, of)| of.bounds.is_some()) {
        let high = line.points.iter().map(|(x, of)| at(*x, of.high()));
        let low = line.points.iter().rev().map(|(x, of)| at(*x, of.low()));
        let outline: Vec<String> = high.chain(low).collect();
        let _ = write!(out, "<path class=\"band c{class}\" d=\"M{}Z\"/>", outline.join("L"));
    }
    let points: Vec<String> = line.points.iter().map(|(x, of)| at(*x, of.mean)).collect();
    let label = escape(&line.label);
    let _ = write!(out, "<path class=\"line c{class}\" d=\"M{}\"><title>{label}</title></path>", points.join("L"));
    for (x, of) in line.points.iter().filter(|_| axes.has_marks) {
        let (cx, cy) = (scale.x(*x), scale.y(of.mean));
        let text = format!("{label}: {} at {}", number(of.mean, 2), number(*x, 0));
        let _ = write!(
            out,
            "<circle class=\"mark c{class}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"3\"><title>{text}</title></circle>"
        );
    }
}

/// Labels at the ends of lines, moved apart where they would cover each other.
fn draw_labels(out: &mut String, lines: &[Line], scale: &Scale) {
    let mut ends: Vec<(f64, f64, &Line)> = lines
        .iter()
        .filter_map(|line| line.points.last().map(|(x, of)| (scale.y(of.mean), scale.x(*x), line)))
        .collect();
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut places: Vec<f64> = Vec::new();
    for (y, _, _) in &ends {
        places.push(places.last().map_or(*y, |above: &f64| y.max(above + LINE_HEIGHT)));
    }
    let mut lowest = HEIGHT - BOTTOM;
    for place in places.iter_mut().rev() {
        *place = place.min(lowest);
        lowest = *place - LINE_HEIGHT;
    }
    let x = WIDTH - RIGHT + 14.0;
    for ((y, end, line), place) in ends.iter().zip(&places) {
        let class = line.colour % COLOURS;
        let _ = write!(out, "<path class=\"lead c{class}\" d=\"M{end:.1} {y:.1}L{:.1} {place:.1}\"/>", x - 3.0);
        let _ = write!(
            out,
            "<text class=\"label c{class}\" x=\"{x}\" y=\"{:.1}\">{}</text>",
            place + 4.0,
            escape(&line.label)
        );
    }
}

/// A row for each set: its mean as a dot, its interval as a bar, its value beside it.
pub fn dots(unit: &str, digits: usize, rows: &[(String, usize, Interval)]) -> String {
    if rows.is_empty() {
        return "<p class=\"none\">Nothing was observed.</p>".to_owned();
    }
    let (left, right, step) = (132.0, 170.0, 26.0);
    let height = TOP + step * rows.len() as f64 + BOTTOM - 8.0;
    let high = rows.iter().map(|(_, _, of)| of.high()).fold(0.0, f64::max);
    let high = if high > 0.0 { high } else { 1.0 };
    let x = |at: f64| left + at / high * (WIDTH - left - right);
    let bottom = height - BOTTOM + 8.0;
    let mut out = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">");
    let marks = ticks(0.0, high, 5.0);
    for at in &marks {
        let text = tick_text(*at, &marks);
        let _ = write!(out, "<path class=\"grid\" d=\"M{:.1} {TOP}V{bottom}\"/>", x(*at));
        let _ = write!(out, "<text class=\"tick mid\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>", x(*at), bottom + 15.0);
    }
    for (number_of, (label, colour, of)) in rows.iter().enumerate() {
        let y = TOP + step * (number_of as f64 + 0.5);
        let class = colour % COLOURS;
        let _ = write!(
            out,
            "<text class=\"label end c{class}\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            left - 10.0,
            y + 4.0,
            escape(label)
        );
        let _ = write!(out, "<path class=\"whisker c{class}\" d=\"M{:.1} {y}H{:.1}\"/>", x(of.low()), x(of.high()));
        let _ = write!(out, "<circle class=\"dot c{class}\" cx=\"{:.1}\" cy=\"{y}\" r=\"4.5\"/>", x(of.mean));
        let range = of
            .bounds
            .map_or_else(String::new, |(low, high)| format!(" [{}, {}]", number(low, digits), number(high, digits)));
        let text = format!("{}{range}", number(of.mean, digits));
        let _ = write!(out, "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>", x(of.high()) + 10.0, y + 4.0);
    }
    let middle = (left + WIDTH - right) / 2.0;
    let _ = write!(
        out,
        "<text class=\"name mid\" x=\"{middle:.1}\" y=\"{:.1}\">{}</text></svg>",
        height - 5.0,
        escape(unit)
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_within_their_span() {
        assert_eq!(ticks(0.0, 100.0, 5.0), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(ticks(3.0, 3.0, 5.0), [3.0]);
        assert_eq!(log_ticks(30.0, 400.0), [50.0, 100.0, 200.0]);
        assert_eq!(tick_text(0.4, &[0.2, 0.4, 0.6]), "0.4");
        assert_eq!(tick_text(99.99, &[99.98, 99.99]), "99.99");
    }

    #[test]
    fn what_users_name_cannot_become_markup() {
        let point = (1.0, Interval { mean: 1.0, bounds: None, samples: 1 });
        let line = Line { label: "<script>".to_owned(), colour: 0, points: vec![point] };
        let axes = Axes { x: "x", y: "y", is_log: false, has_marks: true, y_range: None };
        let svg = lines(&axes, &[line]);
        assert!(svg.contains("&lt;script&gt;") && !svg.contains("<script"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn no_points_say_so() {
        let axes = Axes { x: "x", y: "y", is_log: true, has_marks: false, y_range: None };
        assert!(lines(&axes, &[]).contains("Nothing was observed"));
        assert!(dots("", 1, &[]).contains("Nothing was observed"));
    }
}
