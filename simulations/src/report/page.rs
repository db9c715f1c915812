//! One self-contained page for all runs of some folders: for each world a table, plots, and what the strategies differ by.

use std::{fmt::Write, path::PathBuf};

use super::{
    compare::{difference, verdict},
    curves::{self, Curve},
    figures::{FIGURES, Figure, number},
    groups::{Group, World, load, worlds},
    svg::{self, Axes, COLOURS, Line, escape},
    tree,
};
use crate::{
    results::ResultsError,
    statistics::{Interval, SAMPLES_MIN},
};

const STYLE: &str = include_str!("style.css");

/// The page for all runs in folders, as HTML that needs nothing else.
///
/// # Errors
/// When a folder holds no run, or one that cannot be read.
pub fn html(folders: &[PathBuf]) -> Result<String, ResultsError> {
    let runs = load(folders)?;
    let count = runs.len();
    let versions: std::collections::BTreeSet<String> = runs.iter().map(|run| run.meta.version.clone()).collect();
    let interrupted = runs.iter().any(|run| run.meta.interrupted);
    let worlds = worlds(runs);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>treehouse-sim: {count} runs</title><style>{STYLE}</style></head><body>\n<h1>treehouse-sim</h1>\n"
    );
    let versions = versions.into_iter().collect::<Vec<_>>().join(", ");
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "<p class=\"soft\">{count} runs, version {}. Each figure is a mean over seeds with its 95 % interval (percentile bootstrap \
         over seeds); bands are intervals, point by point. Times count from a packet's last sample.</p>",
        escape(&versions)
    );
    if interrupted {
        out.push_str(
            "<p class=\"worse\">These runs were ended early: their figures are those of the time until then.</p>\n",
        );
    }
    for world in &worlds {
        section(&mut out, world)?;
    }
    out.push_str("</body></html>\n");
    Ok(out)
}

fn section(out: &mut String, world: &World) -> Result<(), ResultsError> {
    let _ = writeln!(out, "<section><h2>{}</h2>", escape(&world.title()));
    let few: Vec<String> = world
        .groups
        .iter()
        .filter(|group| group.runs.len() < SAMPLES_MIN)
        .map(|group| format!("{} ({})", group.label, group.runs.len()))
        .collect();
    if !few.is_empty() {
        let _ = writeln!(
            out,
            "<p class=\"soft\">Fewer than {SAMPLES_MIN} seeds: {}. Take their intervals as hints; one seed has none.</p>",
            escape(&few.join(", "))
        );
    }
    table(out, world);
    plots(out, world)?;
    trees(out, world)?;
    differences(out, world);
    provenance(out, world);
    out.push_str("</section>\n");
    Ok(())
}

fn heads(out: &mut String, groups: &[Group], from: usize) {
    for (number, group) in groups.iter().enumerate().skip(from) {
        let _ = write!(out, "<th class=\"c{}\">{}</th>", number % COLOURS, escape(&group.label));
    }
    out.push_str("</tr></thead><tbody>\n");
}

fn titled(figure: &Figure) -> String {
    let unit = if figure.unit.is_empty() { String::new() } else { format!(", {}", figure.unit) };
    format!("{}{unit}", figure.title)
}

fn range(figure: &Figure, of: &Interval) -> String {
    let text = |(low, high)| format!("<small>{} to {}</small>", figure.text(low), figure.text(high));
    of.bounds.map_or_else(String::new, text)
}

fn table(out: &mut String, world: &World) {
    out.push_str("<div class=\"card wide\"><table><thead><tr><th>mean over seeds</th>");
    heads(out, &world.groups, 0);
    for figure in &FIGURES {
        let cells: Vec<Option<Interval>> = world.groups.iter().map(|group| group.interval(figure)).collect();
        if cells.iter().all(Option::is_none) {
            continue;
        }
        let _ = write!(out, "<tr><td>{}</td>", titled(figure));
        for cell in &cells {
            let text =
                cell.map_or_else(|| "-".to_owned(), |of| format!("{}{}", figure.text(of.mean), range(figure, &of)));
            let _ = write!(out, "<td>{text}</td>");
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
}

fn card(out: &mut String, title: &str, note: &str, plot: &str) {
    let _ = writeln!(
        out,
        "<figure class=\"card\"><figcaption>{title}</figcaption><p class=\"note\">{note}</p>{plot}</figure>"
    );
}

fn plots(out: &mut String, world: &World) -> Result<(), ResultsError> {
    let groups = &world.groups;
    let lines = |axes: &Axes, curves: Vec<Curve>| {
        let named = groups.iter().enumerate().zip(curves).filter(|(_, points)| !points.is_empty());
        let line =
            |((colour, group), points): ((usize, &Group), Curve)| Line { label: group.label.clone(), colour, points };
        svg::lines(axes, &named.map(line).collect::<Vec<_>>())
    };
    let share = |x, y| Axes { x, y, is_log: true, has_marks: false, y_range: Some((0.0, 100.0)) };
    let time = |y| Axes { x: "time, s", y, is_log: false, has_marks: false, y_range: None };
    out.push_str("<div class=\"cards\">\n");
    let axes = share("one-way delay, ms", "frames, %");
    card(out, "Delay", "Share of frames that came within a time, %", &lines(&axes, curves::delays(groups)?));
    let axes = time("frames within 400 ms, %");
    let note = "Frames within 400 ms, %, by when they were captured";
    card(out, "Delivery over time", note, &lines(&axes, curves::delivery(groups)?));
    let axes = Axes { x: "hops from the host", has_marks: true, y_range: Some((0.0, 1.0)), ..time("members, %") };
    card(out, "Depth", "Share of members at each depth at the end, %", &lines(&axes, curves::depths(groups)?));
    let axes = Axes { y_range: Some((0.0, 0.1)), ..time("control traffic, kbit/s a member") };
    card(out, "Control bytes", "Control traffic over time, kbit/s a member", &lines(&axes, curves::control(groups)?));
    let axes = share("length of an outage, ms", "outages, %");
    card(out, "Repair", "Share of outages that were over within a time, %", &lines(&axes, curves::repairs(groups)?));
    let axes = share("from joining to first audio, ms", "newcomers, %");
    card(out, "Joins", "Share of newcomers that heard within a time, %", &lines(&axes, curves::joins(groups)?));
    card(out, "Copies", "Packets that came for each that was new", &dots(groups, "copies"));
    card(out, "Control share", "Control bytes as a share of all, %", &dots(groups, "control_share_percent"));
    let note = "200 ms and more without sound, beyond the speakers' own pauses";
    card(out, "Outages", note, &dots(groups, "outages_per_listener_hour"));
    let note = "Frames due that a jitter buffer of the way's own delay and 100 ms would not play, %";
    card(out, "Lost to a jitter target", note, &dots(groups, "lost_to_target_percent"));
    out.push_str("</div>\n");
    Ok(())
}

fn dots(groups: &[Group], key: &str) -> String {
    let Some(figure) = Figure::named(key) else { return String::new() };
    let row = |(colour, group): (usize, &Group)| Some((group.label.clone(), colour, group.interval(figure)?));
    let rows: Vec<_> = groups.iter().enumerate().filter_map(row).collect();
    svg::dots(&titled(figure), figure.digits, &rows)
}

fn trees(out: &mut String, world: &World) -> Result<(), ResultsError> {
    let mut pictures = String::new();
    for (colour, group) in world.groups.iter().enumerate() {
        let Some((seed, run)) = group.runs.first_key_value() else { continue };
        if let Some(picture) = tree::picture(run, colour % COLOURS)? {
            let label = escape(&group.label);
            let _ = write!(pictures, "<figure><figcaption>{label}, seed {seed}</figcaption>{picture}</figure>");
        }
    }
    if !pictures.is_empty() {
        let _ = writeln!(
            out,
            "<div class=\"card\"><h3>The tree at the end</h3><p class=\"note\">The host in the middle, a ring for each hop; a larger \
             dot feeds more</p><div class=\"trees\">{pictures}</div></div>"
        );
    }
    Ok(())
}

/// What each strategy differs by from the first, seed by seed.
fn differences(out: &mut String, world: &World) {
    let Some((reference, others)) = world.groups.split_first().filter(|(_, others)| !others.is_empty()) else { return };
    let _ = write!(
        out,
        "<div class=\"card wide\" style=\"margin-top:16px\"><h3>Paired differences</h3><p class=\"note\">Each strategy minus {}, on the \
         same seeds; coloured where the interval leaves out nought</p><table><thead><tr><th>mean difference</th>",
        escape(&reference.label)
    );
    heads(out, &world.groups, 1);
    for figure in &FIGURES {
        let cells: Vec<Option<Interval>> = others.iter().map(|group| difference(figure, group, reference)).collect();
        if cells.iter().all(Option::is_none) {
            continue;
        }
        let _ = write!(out, "<tr><td>{}</td>", titled(figure));
        for cell in &cells {
            let Some(of) = cell else {
                out.push_str("<td>-</td>");
                continue;
            };
            let sign = if of.mean > 0.0 { "+" } else { "" };
            let (class, value, range) = (verdict(figure, of), figure.text(of.mean), range(figure, of));
            let _ = write!(out, "<td class=\"{class}\">{sign}{value}{range}</td>");
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
}

/// How to run it again.
fn provenance(out: &mut String, world: &World) {
    let Some(run) = world.groups.iter().flat_map(|group| group.runs.values()).next() else { return };
    let meta = &run.meta;
    let cpu = meta.host.cpu.as_deref().unwrap_or("an unknown processor");
    let build = if meta.host.debug { ", debug build" } else { "" };
    let _ = writeln!(
        out,
        "<details><summary>Scenario, seeds and machine</summary><p>First run on {} {}, {} processors ({}){build}: {} s for {} simulated \
         seconds.</p>",
        escape(&meta.host.os),
        escape(&meta.host.arch),
        meta.host.cpus,
        escape(cpu),
        number(meta.wall_s, 1),
        number(run.summary.simulated_s, 0)
    );
    out.push_str("<table><thead><tr><th>strategy</th><th>seeds and hashes</th></tr></thead><tbody>");
    for group in &world.groups {
        let seeds: Vec<String> = group.summaries().map(|of| format!("{}: {}", of.seed, escape(&of.hash))).collect();
        let _ = write!(
            out,
            "<tr><td>{}</td><td style=\"white-space:normal\">{}</td></tr>",
            escape(&group.label),
            seeds.join(", ")
        );
    }
    let changes: String = world.changes.iter().map(|change| format!("# --set {change}\n")).collect();
    let _ = writeln!(out, "</tbody></table><pre>{}{}</pre></details>", escape(&changes), escape(&meta.scenario_text));
}
