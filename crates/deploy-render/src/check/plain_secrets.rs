//! Secrets in plain sight, whatever the file is.

use super::Report;

/// How keys of well-known services begin.
const KEY_PREFIXES: [&str; 6] = ["sk-ant-", "sk_live_", "ghp_", "github_pat_", "AKIA", "xoxb-"];

pub(super) fn check(text: &str, report: &mut Report) {
    const REMEDY: &str = "refer to a secret instead";
    for (i, line) in text.lines().enumerate() {
        let at = format!("line {}", i + 1);
        if line.contains("PRIVATE KEY-----") {
            report.add(&at, "it holds a private key", REMEDY);
        }
        for prefix in KEY_PREFIXES {
            let starts_key = |(at, _): (usize, &str)| {
                let before = line[..at].chars().next_back().is_some_and(char::is_alphanumeric);
                let rest = &line[at + prefix.len()..];
                let long = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '_').count();
                !before && long >= 16
            };
            if line.match_indices(prefix).any(starts_key) {
                report.add(&at, format!("it holds a key that begins with `{prefix}`"), REMEDY);
            }
        }
        for (start, _) in line.match_indices("://") {
            if has_password(&line[start + 3..]) {
                report.add(&at, "it holds a URL with a password", REMEDY);
            }
        }
    }
}

/// Whether what follows `://` is `user:password@`.
fn has_password(rest: &str) -> bool {
    let authority = rest.split(|c: char| c.is_whitespace() || "/?#\"'`".contains(c)).next().unwrap_or("");
    let Some((user, _)) = authority.rsplit_once('@') else { return false };
    user.split_once(':').is_some_and(|(_, password)| !password.is_empty() && !password.starts_with('$'))
}
