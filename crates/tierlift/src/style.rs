//! Figures as people read them, and colour where it is wanted.

use std::io::IsTerminal;

use runbook::Severity;

/// `1234567` -> `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes in decimal units, as disks and providers count them: `7.1 MB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// Seconds as `0.4 s`, `12 s`, `3 min 20 s`, `2 h 05 min`.
pub fn seconds(s: f64) -> String {
    if s < 10.0 {
        return format!("{s:.1} s");
    }
    let whole = s.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// `$800-1,200`, `$500+`.
pub fn dollars(low: f64, high: Option<f64>) -> String {
    let whole = |v: f64| count(v.round() as u64);
    match high {
        Some(high) if high > low => format!("${}-{}", whole(low), whole(high)),
        Some(_) => format!("${}", whole(low)),
        None => format!("${}+", whole(low)),
    }
}

/// True when stdout may be coloured.
pub fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// `text` in an ANSI style when `on`.
pub fn paint(on: bool, code: &str, text: &str) -> String {
    if on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Breaks a text between words so that no line is longer than `columns`, unless a word is.
pub fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a last line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= columns {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// The ANSI style of a severity.
pub fn severity_colour(severity: Severity) -> &'static str {
    match severity {
        Severity::Blocks => "31",
        Severity::Changes => "33",
        Severity::Note => "2",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        let check = |got: String, want: &str| assert_eq!(got, want);
        check(count(0), "0");
        check(count(999), "999");
        check(count(1_234_567), "1,234,567");
        check(bytes(999), "999 B");
        check(bytes(7_100_000), "7.1 MB");
        check(seconds(0.42), "0.4 s");
        check(seconds(59.4), "59 s");
        check(seconds(200.0), "3 min 20 s");
        check(seconds(7500.0), "2 h 05 min");
        check(dollars(800.0, Some(1200.0)), "$800-1,200");
        check(dollars(500.0, None), "$500+");
        check(dollars(0.0, Some(0.0)), "$0");
    }

    #[test]
    fn long_findings_are_broken_between_words() {
        let check = |text: &str, columns: usize, expect: &[&str]| assert_eq!(wrapped(text, columns), expect, "{text}");
        check("", 10, &[""]);
        check("one two", 10, &["one two"]);
        check("one two three", 7, &["one two", "three"]);
        check("unbreakable_word and more", 8, &["unbreakable_word", "and more"]);
    }
}
