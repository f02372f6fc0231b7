//! `--max-rate`: how fast the source is read, all readers together.

use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

/// Bytes a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Rate(u64);

/// One chunk of a reader is 64 kB; below this rate it could not be spread evenly over a second.
const SLOWEST: u64 = 64 * 1024;

impl Rate {
    /// Bytes a second.
    pub fn bytes_per_second(self) -> u64 {
        self.0
    }
}

impl FromStr for Rate {
    type Err = String;

    /// Reads `20MB/s`, `512kB`, `1.5GiB/s`: kB, MB and GB are powers of 1000, KiB, MiB and GiB of 1024.
    fn from_str(text: &str) -> Result<Self, String> {
        const UNITS: &[(&str, f64)] = &[
            ("kB", 1e3),
            ("KB", 1e3),
            ("MB", 1e6),
            ("GB", 1e9),
            ("KiB", 1024.0),
            ("MiB", 1024.0 * 1024.0),
            ("GiB", 1024.0 * 1024.0 * 1024.0),
        ];
        let bare = text.trim().strip_suffix("/s").unwrap_or(text.trim());
        let unit = UNITS.iter().find_map(|(unit, bytes)| Some((bare.strip_suffix(unit)?, *bytes)));
        let (number, bytes) = unit.ok_or("write a number and kB/s, MB/s, GB/s, KiB/s, MiB/s or GiB/s, e.g. 20MB/s")?;
        let number: f64 = number.trim().parse().map_err(|_| format!("{number:?} is no number"))?;
        let rate = number * bytes;
        if !rate.is_finite() || rate < SLOWEST as f64 {
            return Err(format!("it must be at least {SLOWEST} bytes a second"));
        }
        Ok(Self(rate as u64)) // saturates far beyond any network
    }
}

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|reason: String| format!("rate {text:?}: {reason}"))
    }
}

/// Lets bytes pass at a rate. Each taker is given its place on one common timeline, so that however many take, and
/// however late they wake, the rate holds; idle time is made up for by a quarter of a second's worth at most.
#[derive(Debug)]
pub(crate) struct Throttle {
    rate: Option<Rate>,
    /// When the bytes taken so far are paid for.
    paid_at: Mutex<Option<Instant>>,
}

const BURST: Duration = Duration::from_millis(250);

impl Throttle {
    pub fn new(rate: Option<Rate>) -> Self {
        Self { rate, paid_at: Mutex::new(None) }
    }

    /// Waits until `bytes` more may have been read.
    pub async fn take(&self, bytes: u64) {
        if let Some(until) = self.reserve(Instant::now(), bytes) {
            tokio::time::sleep_until(until).await;
        }
    }

    fn reserve(&self, now: Instant, bytes: u64) -> Option<Instant> {
        let cost = Duration::from_secs_f64(bytes as f64 / self.rate?.0 as f64);
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        // The first bytes are not free: there is nothing saved up at the start.
        let from = paid_at.map_or(now, |paid| paid.max(now.checked_sub(BURST).unwrap_or(now)));
        Some(*paid_at.insert(from + cost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_with_their_units() {
        let check = |text: &str, expect: Result<u64, &str>| match (text.parse::<Rate>(), expect) {
            (Ok(rate), Ok(bytes)) => assert_eq!(rate.bytes_per_second(), bytes, "{text}"),
            (Err(reason), Err(part)) => assert!(reason.contains(part), "{text}: {reason}"),
            (result, _) => panic!("{text} gave {result:?}"),
        };
        check("20MB/s", Ok(20_000_000));
        check("20MB", Ok(20_000_000));
        check(" 512 kB/s", Ok(512_000));
        check("1.5GiB/s", Ok(1_610_612_736));
        check("1MiB", Ok(1_048_576));
        check("20", Err("e.g. 20MB/s"));
        check("20Mb/s", Err("e.g. 20MB/s")); // bits or bytes?
        check("20MB/min", Err("e.g. 20MB/s"));
        check("fastMB", Err("no number"));
        check("-1MB", Err("at least"));
        check("0MB", Err("at least"));
        check("infGB", Err("at least"));
        check("1kB/s", Err("at least"));
    }

    fn throttle(rate: &str) -> Throttle {
        Throttle::new(Some(rate.parse().expect("it is a rate")))
    }

    /// On a clock of our own: whoever is to wake first takes next, a little late as on a busy machine.
    #[test]
    fn several_readers_together_keep_the_rate() {
        let throttle = throttle("20MB/s");
        let began = Instant::now();
        let late = [0, 3, 1, 40, 0].map(Duration::from_millis).into_iter().cycle();
        let mut wakes = [began; 4];
        let mut passed: Vec<(Duration, u64)> = Vec::new();
        for (takes, late) in late.enumerate() {
            let reader = (0..4).min_by_key(|at| wakes[*at]).expect("there are four");
            let now = wakes[reader] + late;
            if now > began + Duration::from_secs(5) {
                break;
            }
            let bytes = 50_000 + 20_000 * (takes as u64 % 3);
            wakes[reader] = throttle.reserve(now, bytes).expect("there is a rate");
            passed.push((wakes[reader] - began, bytes));
        }
        let within = |from: f64, to: f64| -> u64 {
            passed.iter().filter(|(at, _)| (from..to).contains(&at.as_secs_f64())).map(|(_, bytes)| bytes).sum()
        };
        let total = within(0.0, 5.0);
        assert!((95_000_000..=105_000_000).contains(&total), "{total} bytes in five seconds");
        for tenth in 0..45 {
            let from = f64::from(tenth) / 10.0;
            let half = within(from, from + 0.5);
            assert!(half <= 11_000_000, "{half} bytes in the half second from {from}");
        }
    }

    #[test]
    fn idle_time_is_hardly_saved_up() {
        let throttle = throttle("1MB/s");
        let began = Instant::now();
        let until = throttle.reserve(began, 100_000).expect("there is a rate");
        assert_eq!(until - began, Duration::from_millis(100));
        let later = began + Duration::from_secs(60);
        let until = throttle.reserve(later, 2_000_000).expect("there is a rate");
        assert_eq!(until - later, Duration::from_millis(1_750));
        assert_eq!(Throttle::new(None).reserve(began, u64::MAX), None);
    }
}
