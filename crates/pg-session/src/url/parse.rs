//! From text to [`PgUrl`]: URLs, keyword/value strings, and what people paste around them.
//!
//! Reasons are returned as plain text and never repeat a value, which may be a password in the wrong place.

use crate::url::PgUrl;
use crate::url::keys::Settings;

/// What dashboards print in the password's place.
const PLACEHOLDERS: &[&str] = &[
    "[YOUR-PASSWORD]",
    "[YOUR_PASSWORD]",
    "[PASSWORD]",
    "[password]",
    "<password>",
    "<PASSWORD>",
    "<YOUR-PASSWORD>",
    "YOUR_PASSWORD",
    "your_password",
    "${PASSWORD}",
];

pub(super) fn parse(text: &str) -> Result<PgUrl, String> {
    let text = unwrapped(text);
    let mut settings = Settings::default();
    match text.split_once(':') {
        Some((scheme, rest)) if rest.starts_with("//") => {
            let scheme = scheme.to_ascii_lowercase();
            let (name, driver) = scheme.split_once('+').map_or((&*scheme, None), |(name, driver)| (name, Some(driver)));
            match name {
                "postgresql" | "postgres" => {}
                "prisma" => {
                    return Err("it is an address of Prisma Accelerate, which speaks no Postgres protocol; \
                                use the database's own URL (DIRECT_URL)"
                        .into());
                }
                _ => return Err("it does not start with postgresql:// or postgres://".into()),
            }
            // SQLAlchemy names the driver here (postgresql+asyncpg); the rest means the same.
            settings.ignored.extend(driver.map(|driver| format!("+{driver}")));
            read_url(&mut settings, &rest[2..])?;
        }
        _ if text.starts_with("jdbc:") => {
            return Err("it is a JDBC URL; leave out the leading jdbc:, and write user and password before the host \
                        (postgresql://USER:PASSWORD@HOST:5432/DATABASE)"
                .into());
        }
        _ if text.contains('=') => read_keywords(&mut settings, text)?,
        _ => return Err("it does not start with postgresql:// or postgres://".into()),
    }
    let is_masked = |p: &str| p.len() >= 4 && p.chars().all(|c| c == '*');
    if settings.password.as_deref().is_some_and(|p| PLACEHOLDERS.contains(&p) || is_masked(p)) {
        return Err("its password is still the dashboard's placeholder; put the real one in its place".into());
    }
    settings.finish()
}

/// Without what was copied along: `psql` in front (as Neon prints it), `DATABASE_URL=`, and quotes.
fn unwrapped(text: &str) -> &str {
    let mut text = text.trim().trim_end_matches(';');
    if let Some(rest) = text.strip_prefix("psql ") {
        text = rest.trim();
    }
    if let Some((name, value)) = text.split_once('=')
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    {
        text = value.trim();
    }
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote)) {
            text = inner.trim();
        }
    }
    text
}

/// What follows `postgresql://`.
fn read_url(settings: &mut Settings, rest: &str) -> Result<(), String> {
    let (rest, query) = split_query(rest);
    // A password pasted unescaped may hold `/` or `@`: the last `@` before the query separates.
    let (userinfo, hostpath) = match rest.rfind('@') {
        Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
        None => (None, rest),
    };
    if let Some(info) = userinfo {
        let (user, password) = info.split_once(':').map_or((info, None), |(user, password)| (user, Some(password)));
        settings.user = Some(decode(user, "user")?);
        settings.password = password.map(|p| decode(p, "password")).transpose()?;
    }
    let (authority, path) = hostpath.split_once('/').unwrap_or((hostpath, ""));
    let (host, port) = split_port(authority)?;
    settings.set("host", decode(host, "host")?)?;
    if let Some(port) = port {
        settings.set("port", port.to_owned())?;
    }
    settings.set("dbname", decode(path.trim_end_matches('/'), "database")?)?;
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        // Otherwise it may be the rest of a password, which no message may repeat.
        if !key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err("what follows its ? is no list of key=value; a ? in the password is written %3F".into());
        }
        settings.set(key, decode(value, key)?)?;
    }
    Ok(())
}

/// The query begins at the first `?`, unless that one belongs to a password pasted unescaped: then what stands before
/// it holds no `@`, and a `:` that no port follows.
fn split_query(rest: &str) -> (&str, &str) {
    let Some((before, query)) = rest.split_once('?') else { return (rest, "") };
    let is_password = !before.contains('@')
        && split_port(before.split('/').next().unwrap_or(before)).is_err() // a split yields at least one piece
        && query.contains('@');
    if !is_password {
        return (before, query);
    }
    let host_at = rest.rfind('@').map_or(0, |at| at + 1);
    match rest[host_at..].find('?') {
        Some(mark) => (&rest[..host_at + mark], &rest[host_at + mark + 1..]),
        None => (rest, ""),
    }
}

/// Host and port of an authority; several hosts come out as one text with commas, for `host` to refuse.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), String> {
    let bad = || "its port is not a number from 1 to 65535".to_owned();
    if authority.contains(',') {
        return Ok((authority, None));
    }
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, tail) = rest.split_once(']').ok_or("its IPv6 address has no closing bracket")?;
        return match tail.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if tail.is_empty() => Ok((host, None)),
            None => Err(bad()),
        };
    }
    match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => {
            Err("its IPv6 address needs brackets, as in postgresql://USER:PASSWORD@[2001:db8::1]:5432/DATABASE".into())
        }
        Some((host, "")) => Ok((host, None)),
        Some((host, port)) if port.parse::<u16>().is_ok_and(|p| p > 0) => Ok((host, Some(port))),
        Some(_) => Err(bad()),
        None => Ok((authority, None)),
    }
}

/// libpq's other form: `host=db.example port=5432 password='it''s'`, with backslash escapes.
fn read_keywords(settings: &mut Settings, text: &str) -> Result<(), String> {
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(());
        }
        let mut key = String::new();
        while let Some(c) = chars.next_if(|c| *c != '=' && !c.is_whitespace()) {
            key.push(c);
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.next() != Some('=') {
            return Err("it is neither a postgresql:// URL nor a list of key=value".into());
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let quoted = chars.next_if_eq(&'\'').is_some();
        let mut value = String::new();
        loop {
            match chars.next() {
                Some('\'') if quoted => break,
                Some(c) if !quoted && c.is_whitespace() => break,
                Some('\\') => value.extend(chars.next()),
                Some(c) => value.push(c),
                None if quoted => return Err("a quoted value of it is not closed".into()),
                None => break,
            }
        }
        settings.set(&key, value)?;
    }
}

fn decode(text: &str, what: &str) -> Result<String, String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (bytes[i], hex(i + 1), hex(i + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).expect("two hex digits fit a byte"));
                i += 3;
            }
            // A lone `%` is a password pasted unescaped; taking it as it stands is what the person meant.
            (byte, _, _) => {
                out.push(byte);
                i += 1;
            }
        }
    }
    if out.contains(&0) {
        return Err(format!("its {what} holds a zero byte, which no server takes"));
    }
    String::from_utf8(out).map_err(|_| format!("its {what} is not UTF-8"))
}
