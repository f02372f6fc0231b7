//! `copy.svg`: a block a scenario, a bar a contender, and a line where ours has to end.

use std::fmt::Write as _;

use super::report::{ContenderReport, Report, ScenarioReport};

const WIDTH: f64 = 960.0;
/// Where bars begin; names are to the left.
const LEFT: f64 = 130.0;
/// How far the longest run reaches; its label fits to the right.
const LONGEST: f64 = 500.0;
const BAR: f64 = 22.0;
const GAP: f64 = 6.0;
const HEADING: f64 = 60.0;

const OURS: &str = "#0b7285";
const PEER: &str = "#adb5bd";
const GOAL: &str = "#c92a2a";
const TEXT: &str = "#212529";
const FAINT: &str = "#5c636a";

/// Every scenario of the report, each to its own scale of seconds.
pub fn svg(report: &Report) -> String {
    let mut body = String::new();
    let mut y = 84.0;
    for scenario in &report.scenarios {
        y = block(&mut body, scenario, y);
    }
    let machine = &report.machine;
    let mut about = format!(
        "{} to {}, {} cores, {} jobs each, median of {} round{}, {}",
        machine.source,
        machine.target,
        machine.cores,
        report.jobs,
        report.rounds,
        if report.rounds == 1 { "" } else { "s" },
        machine.our_build
    );
    if (report.scale - 1.0).abs() > f64::EPSILON {
        let _ = write!(about, ", scale {}", report.scale); // writing to a String cannot fail
    }
    if report.notes.iter().any(|note| note.starts_with("DISTURBED")) {
        about.push_str(", on a busy machine");
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" width=\"{WIDTH}\" height=\"{y}\" \
         font-family=\"Helvetica, Arial, sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{}{}{body}</svg>\n",
        label(
            24.0,
            36.0,
            TEXT,
            "Copying a database: seconds, shorter is better",
            "font-size=\"20\" font-weight=\"bold\""
        ),
        label(24.0, 58.0, FAINT, &about, ""),
    )
}

/// Draws one scenario from `top` down; returns where the next begins.
fn block(body: &mut String, scenario: &ScenarioReport, top: f64) -> f64 {
    let runs = scenario.contenders.iter().flat_map(|c| c.runs.iter().map(|run| run.seconds));
    let slowest = runs.fold(0.001, f64::max);
    let pixels = |seconds: f64| seconds / slowest * LONGEST;
    let heading = format!("{}: {}", scenario.name, scenario.about);
    body.push_str(&label(24.0, top + 20.0, TEXT, &heading, "font-size=\"15\" font-weight=\"bold\""));
    let bars_top = top + HEADING - 6.0;
    let mut y = bars_top;
    let mut figures = String::new(); // in front of the goal's line, which is in front of the bars
    for contender in &scenario.contenders {
        body.push_str(&label(LEFT - 10.0, y + 16.0, TEXT, contender.name, "text-anchor=\"end\""));
        let (drawn, figure) = bar(scenario, contender, y, pixels);
        body.push_str(&drawn);
        figures.push_str(&figure);
        y += BAR + GAP;
    }
    // The strictest of the goals is where ours has to end.
    let goals = scenario.ratios.iter().filter_map(|ratio| {
        let peer = scenario.contenders.iter().find(|c| c.name == ratio.peer)?;
        Some((peer.median_seconds? * ratio.goal?, ratio.goal?, ratio.peer))
    });
    if let Some((seconds, goal, peer)) = goals.min_by(|a, b| a.0.total_cmp(&b.0)) {
        let x = LEFT + pixels(seconds);
        body.push_str(&format!(
            "<line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{y:.1}\" stroke=\"{GOAL}\" stroke-width=\"2\" \
             stroke-dasharray=\"5 3\"/>\n",
            bars_top - 6.0
        ));
        let words = format!("goal {} s ({goal:.2} of {peer})", figure(seconds));
        body.push_str(&label(x + 4.0, bars_top - 9.0, GOAL, &words, "font-size=\"12\""));
    }
    body.push_str(&figures);
    y + 22.0
}

/// The bar, and what is written at its end.
fn bar(
    scenario: &ScenarioReport,
    contender: &ContenderReport,
    y: f64,
    pixels: impl Fn(f64) -> f64,
) -> (String, String) {
    let Some(median) = contender.median_seconds else {
        let why = contender.failure.as_deref().unwrap_or("did not run");
        let why: String = why.chars().take(100).collect();
        return (String::new(), label(LEFT + 4.0, y + 16.0, GOAL, &why, "font-size=\"12\""));
    };
    let ours = contender.name == "ours";
    let mut words = format!("{} s", figure(median));
    if let Some(ratio) = scenario.ratios.iter().find(|ratio| ratio.peer == contender.name) {
        words.push_str(&format!(", ours / it = {}", ratio.words()));
    }
    let fill = if ours { OURS } else { PEER };
    let length = pixels(median).max(1.0);
    let mut drawn =
        format!("<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{BAR}\" rx=\"2\" fill=\"{fill}\"/>\n");
    // Each run, so that one sees how much they differ.
    for run in &contender.runs {
        let x = LEFT + pixels(run.seconds);
        drawn.push_str(&format!(
            "<circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"2.5\" fill=\"none\" stroke=\"{TEXT}\"/>\n",
            y + BAR / 2.0
        ));
    }
    let furthest = contender.runs.iter().map(|run| pixels(run.seconds)).fold(length, f64::max);
    // A white edge keeps it readable where the goal's line crosses it.
    let edge = "paint-order=\"stroke\" stroke=\"#ffffff\" stroke-width=\"4\"";
    (drawn, label(LEFT + furthest + 8.0, y + 16.0, TEXT, &words, edge))
}

fn label(x: f64, y: f64, fill: &str, words: &str, more: &str) -> String {
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{fill}\" {more}>{words}</text>\n")
}

/// Three figures are all that such a measurement is worth.
fn figure(seconds: f64) -> String {
    match seconds {
        s if s >= 100.0 => format!("{s:.0}"),
        s if s >= 10.0 => format!("{s:.1}"),
        s => format!("{s:.2}"),
    }
}
