//! Series that give a metric the value a unit test wants, in promtool's notation.

/// One series of a test's input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Feed {
    /// Its name and labels. `$le` is a bucket's upper bound; other names with a dollar are replaced as in expressions.
    pub(crate) series: &'static str,
    shape: Shape,
    /// Its value (or its rise a minute) is this many times the metric's, and so much more.
    times: f64,
    plus: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    /// Stays as it is.
    Level,
    /// Counts up.
    Rise,
    /// Counts up by one; the metric is in its label `le`.
    Bucket,
    /// A moment that stays as far away as it is.
    Moment,
}

/// A gauge.
pub(super) const fn level(series: &'static str, times: f64, plus: f64) -> Feed {
    Feed { series, shape: Shape::Level, times, plus }
}

/// A counter.
pub(super) const fn rise(series: &'static str, times: f64, plus: f64) -> Feed {
    Feed { series, shape: Shape::Rise, times, plus }
}

/// A bucket of a histogram with everything in it, whose 95th percentile is the metric.
pub(super) const fn p95_bucket(series: &'static str, seconds: f64) -> Feed {
    // The percentile lies at 95 % of a bucket that begins at 0.
    Feed { series, shape: Shape::Bucket, times: seconds / 0.95, plus: 0.0 }
}

/// A time in seconds since 1970.
pub(super) const fn moment(series: &'static str, times: f64) -> Feed {
    Feed { series, shape: Shape::Moment, times, plus: 0.0 }
}

impl Feed {
    /// Whether it is a gauge with just the metric's value.
    #[allow(clippy::float_cmp, reason = "both are constants written as they are compared")]
    pub(super) fn is_value(self) -> bool {
        self.shape == Shape::Level && self.times == 1.0 && self.plus == 0.0
    }

    /// Whether only its rise says something.
    pub(crate) fn counts(self) -> bool {
        matches!(self.shape, Shape::Rise | Shape::Bucket)
    }

    /// The series and its values, one a minute, when the metric has the value.
    pub(crate) fn fill(self, value: f64, minutes: u64) -> (String, String) {
        let number = short(value * self.times + self.plus);
        match self.shape {
            Shape::Level => (self.series.to_owned(), format!("{number}x{minutes}")),
            Shape::Rise => (self.series.to_owned(), format!("0+{number}x{minutes}")),
            Shape::Bucket => (self.series.replace("$le", &number), format!("0+1x{minutes}")),
            Shape::Moment => (self.series.to_owned(), format!("{number}+60x{minutes}")),
        }
    }
}

/// A number without the noise of its binary form.
pub(crate) fn short(number: f64) -> String {
    let text = format!("{number:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_series_so_that_the_metric_has_a_value() {
        let check = |feed: Feed, value: f64, series: &str, values: &str| {
            assert_eq!(feed.fill(value, 9), (series.to_owned(), values.to_owned()));
        };
        check(level("a", 1.0, 0.0), 4000.0, "a", "4000x9");
        check(level("a", -0.01, 1.0), 85.0, "a", "0.15x9");
        check(rise("a_total", 1.0, 0.0), 2.5, "a_total", "0+2.5x9");
        check(p95_bucket("a_bucket{le=\"$le\"}", 0.001), 1900.0, "a_bucket{le=\"2\"}", "0+1x9");
        check(moment("a", 86_400.0), 13.0, "a", "1123200+60x9");
    }

    #[test]
    fn writes_numbers_as_people_do() {
        let check = |number: f64, expect: &str| assert_eq!(short(number), expect);
        check(0.1 + 0.2, "0.3");
        check(99.999, "99.999");
        check(100.0, "100");
        check(-0.5, "-0.5");
    }
}
