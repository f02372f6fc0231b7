//! The one reporter: draws bars on a terminal, prints plain lines elsewhere, or one JSON event a line.
//!
//! stdout is data, stderr is talk: bars and lines go to stderr, `--json` events to stdout.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use runbook::{Event, Progress, Reporter, Severity};

use crate::output::{data, talk};
use crate::style::{bytes, count, seconds};

/// How often an item's progress may be printed where there are no bars.
const PLAIN_EVERY: Duration = Duration::from_secs(2);

/// How to show events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Bars on stderr.
    Bars,
    /// Lines on stderr.
    Lines,
    /// JSON lines on stdout.
    Json,
}

impl Mode {
    /// `--json` wins; bars need a terminal and no `NO_COLOR`.
    pub fn choose(json: bool) -> Self {
        if json {
            Self::Json
        } else if std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
            Self::Bars
        } else {
            Self::Lines
        }
    }
}

/// Draws what the engine and the actions report.
pub struct Screen {
    mode: Mode,
    items: Mutex<HashMap<String, Item>>,
    bars: MultiProgress,
    run: OnceLock<String>,
    going_back: AtomicBool,
    ended: AtomicBool,
}

/// One thing whose progress is followed.
struct Item {
    started: Instant,
    /// Figures when first seen, so that a resumed copy's rate is not inflated by what was already there.
    base: (u64, u64),
    printed: Instant,
    bar: Option<ProgressBar>,
}

impl Screen {
    /// A reporter for one command.
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            items: Mutex::default(),
            bars: MultiProgress::new(),
            run: OnceLock::new(),
            going_back: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        }
    }

    /// The run whose events came, once it has begun.
    pub fn run(&self) -> Option<&str> {
        self.run.get().map(String::as_str)
    }

    /// Whether that run is being put back.
    pub fn is_going_back(&self) -> bool {
        self.going_back.load(Ordering::Relaxed)
    }

    /// A line of talk that is no event, in every mode.
    pub fn say(&self, text: &str) {
        match self.mode {
            Mode::Bars => self.bars.suspend(|| talk(text)),
            Mode::Lines | Mode::Json => talk(text),
        }
    }

    /// The last line before the process ends: takes the bars away for good.
    pub fn say_last(&self, text: &str) {
        self.ended.store(true, Ordering::Relaxed);
        self.clear_bars(None);
        self.say(text);
    }

    fn line(&self, text: &str) {
        match self.mode {
            // `suspend` keeps the line above the bars.
            Mode::Bars => self.bars.suspend(|| talk(text)),
            Mode::Lines => talk(text),
            Mode::Json => {}
        }
    }

    fn progress(&self, step: &str, progress: &Progress) {
        let key = format!("{step}/{}", progress.item);
        let now = Instant::now();
        let mut items = self.items.lock().expect("no reporter panics while it holds the lock");
        // A task of a step that was cut off may still report; its bar would stay on the screen for good.
        if self.ended.load(Ordering::Relaxed) {
            return;
        }
        if progress.finished {
            if let Some(Item { bar: Some(bar), .. }) = items.remove(&key) {
                bar.finish_and_clear();
            }
            return;
        }
        let item = items.entry(key).or_insert_with(|| Item {
            started: now,
            base: (progress.rows, progress.bytes),
            printed: now,
            bar: (self.mode == Mode::Bars).then(|| self.new_bar(progress)),
        });
        let text = describe(progress, item, now);
        match &item.bar {
            Some(bar) => {
                let (done, total) = extent(progress);
                bar.set_length(total.unwrap_or(done).max(1));
                bar.set_position(done);
                bar.set_message(text);
            }
            None if now - item.printed >= PLAIN_EVERY => {
                item.printed = now;
                drop(items);
                self.line(&format!("    {text}"));
            }
            None => {}
        }
    }

    fn new_bar(&self, progress: &Progress) -> ProgressBar {
        let bar = self.bars.add(ProgressBar::new(extent(progress).1.unwrap_or(1)));
        let style = ProgressStyle::with_template("    [{bar:12}] {wide_msg}")
            .expect("the template is a constant that parses")
            .progress_chars("=> ");
        bar.set_style(style);
        bar
    }

    /// Takes the bars of a step (all of them without one) off the screen.
    fn clear_bars(&self, step: Option<&str>) {
        let prefix = step.map_or_else(String::new, |step| format!("{step}/"));
        let mut items = self.items.lock().expect("no reporter panics while it holds the lock");
        items.retain(|key, item| {
            let of_step = key.starts_with(&prefix);
            if let (true, Some(bar)) = (of_step, &item.bar) {
                bar.finish_and_clear();
            }
            !of_step
        });
    }
}

/// What a bar measures: bytes when a total is known, rows otherwise.
fn extent(progress: &Progress) -> (u64, Option<u64>) {
    match (progress.rows_total, progress.bytes_total) {
        (None, Some(total)) => (progress.bytes, Some(total)),
        (rows_total, _) => (progress.rows, rows_total),
    }
}

/// `copy public.messages  12,345/50,000 rows  8,000/s  3 s left  3.2 MB of 7.1 MB  1.2 MB/s`.
fn describe(progress: &Progress, item: &Item, now: Instant) -> String {
    let elapsed = (now - item.started).as_secs_f64();
    let bytes_per_s = progress.bytes.saturating_sub(item.base.1) as f64 / elapsed;
    let mut parts = vec![progress.item.clone()];
    parts.push(match progress.rows_total {
        Some(total) => format!("{}/{} rows", count(progress.rows), count(total)),
        None => format!("{} rows", count(progress.rows)),
    });
    if elapsed >= 0.2 {
        // Rate and time left before the bytes: a narrow terminal cuts the line at its end.
        let rows_per_s = progress.rows.saturating_sub(item.base.0) as f64 / elapsed;
        if rows_per_s >= 1.0 {
            parts.push(format!("{}/s", count(rows_per_s as u64)));
        }
        let (done, total) = extent(progress);
        let speed =
            if progress.rows_total.is_none() && progress.bytes_total.is_some() { bytes_per_s } else { rows_per_s };
        if let Some(total) = total.filter(|total| *total > done && speed > 0.0) {
            parts.push(format!("{} left", seconds((total - done) as f64 / speed)));
        }
    }
    if progress.bytes > 0 {
        parts.push(match progress.bytes_total {
            Some(total) => format!("{} of {}", bytes(progress.bytes), bytes(total)),
            None => bytes(progress.bytes),
        });
    }
    if elapsed >= 0.2 && bytes_per_s >= 1.0 {
        parts.push(format!("{}/s", bytes(bytes_per_s as u64)));
    }
    parts.join("  ")
}

impl Reporter for Screen {
    fn report(&self, event: Event) {
        match &event {
            // One reporter serves one run, so the first is the only one.
            Event::RunStarted { run, .. } => drop(self.run.set(run.clone())),
            Event::UnwindStarted { .. } => self.going_back.store(true, Ordering::Relaxed),
            _ => {}
        }
        if self.mode == Mode::Json {
            data(serde_json::to_string(&event).expect("events have string keys only"));
            return;
        }
        match event {
            Event::Progress { step, progress } => self.progress(&step, &progress),
            Event::StepPreviewed { .. } => {}
            Event::RunStarted { run, plan, resumed } => {
                let verb = if resumed { "resuming" } else { "run" };
                self.line(&format!("{verb} {run}  (plan {})", &plan[..plan.len().min(12)]));
            }
            Event::StepStarted { step, index, of, title } => self.line(&format!("[{index}/{of}] {step}: {title}")),
            Event::Note { step, text } => self.line(&format!("    {step}: {text}")),
            Event::StepDone { step, seconds: s, already, .. } => {
                self.clear_bars(Some(&step));
                let how = if already { "already done".to_owned() } else { format!("done in {}", seconds(s)) };
                self.line(&format!("    {step}: {how}"));
            }
            Event::StepFailed { step, failure } => {
                self.clear_bars(Some(&step));
                self.line(&format!("    {step}: FAILED: {failure}"));
            }
            Event::UnwindStarted { reason } => self.line(&format!("unwinding: {reason}")),
            Event::StepUndone { step, seconds: s } => {
                self.clear_bars(Some(&step));
                self.line(&format!("    {step}: undone in {}", seconds(s)));
            }
            Event::StepStuck { step, failure } => {
                self.clear_bars(Some(&step));
                self.line(&format!("    {step}: STUCK, could not be undone: {failure}"));
            }
            Event::RunEnded { run, status, seconds: s } => {
                self.ended.store(true, Ordering::Relaxed);
                self.clear_bars(None);
                self.line(&format!("run {run} {status} after {}", seconds(s)));
            }
        }
    }
}

/// The word a person reads for a severity.
pub fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Blocks => "BLOCKS ",
        Severity::Changes => "changes",
        Severity::Note => "note   ",
    }
}
