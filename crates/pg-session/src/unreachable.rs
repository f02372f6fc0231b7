//! Why nobody answers, as far as it can be told from here.

use std::io::ErrorKind;
use std::net::IpAddr;

use crate::error::SessionError;
use crate::url::PgUrl;

/// For an attempt that ended without a word until the time was up.
pub(crate) fn silent(url: &PgUrl) -> SessionError {
    SessionError::Unreachable {
        endpoint: url.endpoint(),
        reason: format!("no answer within {} s", url.connect_timeout_s),
        advice: format!(
            "{}; a server that needs longer to wake gets it with connect_timeout=60 in the URL",
            advice(url, false)
        ),
    }
}

/// For a connection that the network or the resolver refused. `addresses` are the host's, if it has any.
pub(crate) fn explain(url: &PgUrl, kind: Option<ErrorKind>, said: &str, addresses: &[IpAddr]) -> SessionError {
    let no_route = matches!(
        kind,
        Some(
            ErrorKind::NetworkUnreachable
                | ErrorKind::HostUnreachable
                | ErrorKind::AddrNotAvailable
                | ErrorKind::TimedOut
        )
    );
    let only_v6 = !addresses.is_empty() && addresses.iter().all(IpAddr::is_ipv6);
    if only_v6 && no_route && !addresses.iter().any(IpAddr::is_loopback) {
        return SessionError::Unreachable {
            endpoint: url.endpoint(),
            reason: format!("{} has only IPv6 addresses, and from here there is no way to them ({said})", url.host()),
            advice: advice(url, true),
        };
    }
    SessionError::Unreachable {
        endpoint: url.endpoint(),
        reason: said.to_owned(),
        // A resolver that knows only IPv6 addresses may as well say that there is none.
        advice: advice(url, addresses.is_empty() && supabase_project(url.host()).is_some()),
    }
}

fn advice(url: &PgUrl, is_v6: bool) -> String {
    if url.is_unix_socket() {
        return format!(
            "check that the server (or the Cloud SQL Auth Proxy) runs here and its socket is {}/.s.PGSQL.{}",
            url.host().trim_end_matches('/'),
            url.port()
        );
    }
    match supabase_project(url.host()).filter(|_| is_v6) {
        Some(project) => format!(
            "Supabase's direct hosts have IPv6 addresses only: use the project's session pooler \
             (postgresql://postgres.{project}:PASSWORD@aws-0-REGION.pooler.supabase.com:5432/postgres, under Connect in \
             the dashboard), or buy the project the IPv4 add-on, or run this where there is IPv6"
        ),
        None if is_v6 => {
            "give this machine an IPv6 route (a VM or a container network with IPv6), or the server an IPv4 address"
                .into()
        }
        None => "check host name and port, that this machine may reach it (firewall, allow list, IPv6), and that the \
                 server is up"
            .into(),
    }
}

/// The project's reference in `db.REFERENCE.supabase.co`.
fn supabase_project(host: &str) -> Option<&str> {
    host.strip_prefix("db.")?.strip_suffix(".supabase.co")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_only_hosts_are_named_with_the_way_around() {
        let supabase = "postgres://postgres:sekret@db.abcd.supabase.co:5432/postgres";
        let own = "postgres://u:sekret@db.example.com/app";
        let check = |url: &str, kind: ErrorKind, addresses: &[&str], reason: &str, advice: &str| {
            let url: PgUrl = url.parse().expect("a URL");
            let addresses: Vec<IpAddr> = addresses.iter().map(|a| a.parse().expect("an address")).collect();
            let error = explain(&url, Some(kind), "said", &addresses);
            assert!(error.to_string().contains(reason), "{error}");
            assert!(error.hint().contains(advice), "{}", error.hint());
        };
        let v6 = "2a05:d014::1";
        check(
            supabase,
            ErrorKind::NetworkUnreachable,
            &[v6],
            "only IPv6",
            "postgres.abcd:PASSWORD@aws-0-REGION.pooler",
        );
        check(supabase, ErrorKind::AddrNotAvailable, &[v6], "only IPv6", "IPv4 add-on");
        check(supabase, ErrorKind::Other, &[], "said", "session pooler");
        check(supabase, ErrorKind::ConnectionRefused, &[v6], "said", "that the server is up");
        check(own, ErrorKind::NetworkUnreachable, &[v6], "only IPv6", "IPv6 route");
        check(own, ErrorKind::NetworkUnreachable, &[v6, "192.0.2.1"], "said", "that the server is up");
        check(own, ErrorKind::TimedOut, &["192.0.2.1"], "said", "firewall");
        let proxy = "postgres://u@/db?host=/cloudsql/p:r:i";
        check(proxy, ErrorKind::NotFound, &[], "said", "/cloudsql/p:r:i/.s.PGSQL.5432");
    }
}
