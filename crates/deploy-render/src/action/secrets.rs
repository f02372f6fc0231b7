//! Values that must not be seen in what a child process says.

/// What stands in a secret's place.
const MASK: &str = "***";

/// Shorter lines of a secret are not looked for: a lone `}` is everywhere, and tells nothing.
const SHORTEST_LINE: usize = 4;

/// The secrets a process was given. Without `Debug`, so that they can't be printed by accident.
#[derive(Clone, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// Adds a secret, and its lines if it has several: output is cut at lines.
    pub(super) fn add(&mut self, secret: &str) {
        let lines = secret.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_LINE);
        self.0.extend(
            [secret, secret.trim()].into_iter().chain(lines).filter(|part| !part.is_empty()).map(str::to_owned),
        );
        // The longest first: one may be the beginning of another.
        self.0.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        self.0.dedup();
    }

    /// Whether a text holds one of them.
    pub(super) fn is_in(&self, text: &str) -> bool {
        self.0.iter().any(|secret| text.contains(secret))
    }

    /// The text without them, and without the passwords of URLs, whoever put them there.
    pub(super) fn mask(&self, text: &str) -> String {
        let masked = self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, MASK));
        mask_url_passwords(&masked)
    }
}

fn mask_url_passwords(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + "://".len());
        masked.push_str(head);
        let end = tail.find(|c: char| c.is_whitespace() || "/?#\"'`<>".contains(c)).unwrap_or(tail.len());
        let (authority, after) = tail.split_at(end);
        match authority.rsplit_once('@').and_then(|(user, host)| Some((user.split_once(':')?.0, host))) {
            Some((user, host)) => masked.extend([user, ":", MASK, "@", host]),
            None => masked.push_str(authority),
        }
        rest = after;
    }
    masked + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_secret_is_left() {
        let check = |secrets: &[&str], text: &str, expect: &str| {
            let mut all = Secrets::default();
            secrets.iter().for_each(|secret| all.add(secret));
            assert_eq!(all.mask(text), expect);
        };
        check(&[], "plain", "plain");
        check(&["s3cret"], "token s3cret, again:s3cret.", "token ***, again:***.");
        check(&["abc", "abcdef"], "abcdef abc", "*** ***");
        check(&["x\n"], "x", "***");
        check(&["{\n\"key\": \"k1\"\n}"], "}\n  \"key\": \"k1\"\n}", "}\n  ***\n}");
        check(&[], "to postgresql://me:pa@ss@db:5432/x?y now", "to postgresql://me:***@db:5432/x?y now");
        check(&[], "https://host/a:b@c and ftp://me@host", "https://host/a:b@c and ftp://me@host");
        check(&[], "://", "://");
    }

    #[test]
    fn a_secret_is_found_in_an_argument() {
        let mut secrets = Secrets::default();
        assert!(!secrets.is_in("anything"));
        secrets.add("s3cret");
        assert!(secrets.is_in("--token=s3cret") && !secrets.is_in("--token=secret"));
    }
}
