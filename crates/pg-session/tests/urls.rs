//! Connection URLs in the shapes that dashboards, frameworks and people hand out.

use pg_session::{PgUrl, SslMode};

/// What a URL must come out as.
struct Expect {
    /// As `Display` shows it: endpoint and role.
    shown: &'static str,
    password: Option<&'static str>,
    ssl: SslMode,
    /// Another client's parameters, in the order of the URL.
    ignored: &'static [&'static str],
    /// A piece of the connection string that children get.
    conninfo: &'static str,
}

const PLAIN: Expect = Expect { shown: "", password: Some("pw"), ssl: SslMode::Prefer, ignored: &[], conninfo: "" };

#[test]
fn reads_urls_as_dashboards_print_them() {
    use SslMode::{Disable, Require, VerifyCa, VerifyFull};
    let check = |url: &str, expect: Expect| {
        let parsed: PgUrl = url.parse().unwrap_or_else(|e| panic!("{url}: {e}"));
        assert_eq!(parsed.to_string(), expect.shown, "{url}");
        assert_eq!((parsed.password(), parsed.ssl_mode()), (expect.password, expect.ssl), "{url}");
        assert_eq!(parsed.ignored(), expect.ignored, "{url}");
        let conninfo = parsed.libpq_conninfo();
        assert!(conninfo.contains(expect.conninfo), "{url}: {conninfo}");
        let json = serde_json::to_string(&parsed).expect("a string serialises");
        if let Some(password) = expect.password {
            assert!(!format!("{parsed:?} {parsed} {json} {conninfo}").contains(password), "{url}");
            let line = parsed.passfile_line().expect("there is a password");
            assert!(line.starts_with(&format!("*:{}:", parsed.port())), "{line}");
        }
    };
    // Supabase: direct, session pooler, transaction pooler for Prisma, IPv6 literal, JVM-style extra.
    check(
        "postgresql://postgres:pw@db.abcdefgh.supabase.co:5432/postgres",
        Expect { shown: "db.abcdefgh.supabase.co:5432/postgres as postgres", ..PLAIN },
    );
    check(
        "postgresql://postgres.abcdefgh:pw@aws-0-eu-central-1.pooler.supabase.com:5432/postgres",
        Expect { shown: "aws-0-eu-central-1.pooler.supabase.com:5432/postgres as postgres.abcdefgh", ..PLAIN },
    );
    check(
        "postgresql://postgres.abcdefgh:pw@aws-0-eu-central-1.pooler.supabase.com:6543/postgres?pgbouncer=true&connection_limit=1",
        Expect {
            shown: "aws-0-eu-central-1.pooler.supabase.com:6543/postgres as postgres.abcdefgh",
            ignored: &["pgbouncer", "connection_limit"],
            ..PLAIN
        },
    );
    check(
        "postgresql://postgres:pw@[2a05:d014:1c06:5f0a::1]:5432/postgres?sslmode=require",
        Expect {
            shown: "[2a05:d014:1c06:5f0a::1]:5432/postgres as postgres",
            ssl: Require,
            conninfo: "host='2a05:d014:1c06:5f0a::1'",
            ..PLAIN
        },
    );
    // Neon: direct, pooled, with the endpoint for clients without SNI, and as the dashboard's psql line.
    let neon = "ep-cool-1.eu-central-1.aws.neon.tech:5432/neondb as owner";
    check(
        "postgresql://owner:pw@ep-cool-1.eu-central-1.aws.neon.tech/neondb?sslmode=require&channel_binding=require",
        Expect { shown: neon, ssl: Require, conninfo: "channel_binding=require", ..PLAIN },
    );
    check(
        "postgres://owner:pw@ep-cool-1-pooler.eu-central-1.aws.neon.tech/neondb?sslmode=require",
        Expect { shown: "ep-cool-1-pooler.eu-central-1.aws.neon.tech:5432/neondb as owner", ssl: Require, ..PLAIN },
    );
    check(
        "postgresql://owner:pw@ep-cool-1.eu-central-1.aws.neon.tech/neondb?sslmode=require&options=endpoint%3Dep-cool-1",
        Expect { shown: neon, ssl: Require, conninfo: "options='endpoint=ep-cool-1'", ..PLAIN },
    );
    check(
        "psql 'postgresql://owner:pw@ep-cool-1.eu-central-1.aws.neon.tech/neondb?sslmode=require'",
        Expect { shown: neon, ssl: Require, ..PLAIN },
    );
    // Render: external, internal (a host name without dots).
    check(
        "postgresql://app:pw@dpg-abc123-a.frankfurt-postgres.render.com/app_db",
        Expect { shown: "dpg-abc123-a.frankfurt-postgres.render.com:5432/app_db as app", ..PLAIN },
    );
    check("postgresql://app:pw@dpg-abc123-a/app_db", Expect { shown: "dpg-abc123-a:5432/app_db as app", ..PLAIN });
    // Cloud SQL: public address with its own authority and a client certificate, Auth Proxy over TCP and by socket in
    // three spellings, IAM user; AlloyDB's private address.
    check(
        "postgresql://app:pw@34.90.1.2:5432/app?sslmode=verify-ca&sslrootcert=/etc/sql/server-ca.pem&sslcert=/etc/sql/client-cert.pem&sslkey=/etc/sql/client-key.pem",
        Expect {
            shown: "34.90.1.2:5432/app as app",
            ssl: VerifyCa,
            conninfo: "sslmode=verify-ca sslrootcert='/etc/sql/server-ca.pem' sslcert='/etc/sql/client-cert.pem' sslkey='/etc/sql/client-key.pem'",
            ..PLAIN
        },
    );
    check(
        "postgresql://app:pw@127.0.0.1:5432/app?sslmode=disable",
        Expect { shown: "127.0.0.1:5432/app as app", ssl: Disable, conninfo: "sslmode=disable", ..PLAIN },
    );
    let socket = "/cloudsql/proj:europe-west4:main/.s.PGSQL.5432/app as app";
    check(
        "postgresql://app:pw@localhost/app?host=/cloudsql/proj:europe-west4:main",
        Expect { shown: socket, conninfo: "host='/cloudsql/proj:europe-west4:main'", ..PLAIN },
    );
    check("postgresql://app:pw@/app?host=/cloudsql/proj:europe-west4:main", Expect { shown: socket, ..PLAIN });
    check("postgresql://app:pw@%2Fcloudsql%2Fproj%3Aeurope-west4%3Amain/app", Expect { shown: socket, ..PLAIN });
    check(
        "postgresql://sa%40proj.iam@localhost:5432/app",
        Expect { shown: "localhost:5432/app as sa@proj.iam", password: None, ..PLAIN },
    );
    check("postgresql://postgres:pw@10.20.0.5/app", Expect { shown: "10.20.0.5:5432/app as postgres", ..PLAIN });
    // Heroku, RDS, Azure (single server with user@server, escaped and not; flexible server), DigitalOcean, Railway,
    // Fly, Aiven, Crunchy Bridge, CockroachDB-style verify-full without a file.
    check(
        "postgres://ucx:pw@ec2-54-1-2-3.eu-west-1.compute.amazonaws.com:5432/d9abc",
        Expect { shown: "ec2-54-1-2-3.eu-west-1.compute.amazonaws.com:5432/d9abc as ucx", ..PLAIN },
    );
    check(
        "postgresql://app:pw@app.cluster-xyz.eu-west-1.rds.amazonaws.com:5432/app?sslmode=verify-full&sslrootcert=/etc/rds/global-bundle.pem",
        Expect {
            shown: "app.cluster-xyz.eu-west-1.rds.amazonaws.com:5432/app as app",
            ssl: VerifyFull,
            conninfo: "sslrootcert='/etc/rds/global-bundle.pem'",
            ..PLAIN
        },
    );
    let azure = "main.postgres.database.azure.com:5432/app as app@main";
    check(
        "postgresql://app%40main:pw@main.postgres.database.azure.com:5432/app?sslmode=require",
        Expect { shown: azure, ssl: Require, ..PLAIN },
    );
    check(
        "postgres://app@main:pw@main.postgres.database.azure.com/app?sslmode=require",
        Expect { shown: azure, ssl: Require, ..PLAIN },
    );
    check(
        "postgresql://doadmin:pw@db-postgresql-fra1-1-do-user-1-0.b.db.ondigitalocean.com:25060/defaultdb?sslmode=require",
        Expect {
            shown: "db-postgresql-fra1-1-do-user-1-0.b.db.ondigitalocean.com:25060/defaultdb as doadmin",
            ssl: Require,
            ..PLAIN
        },
    );
    check(
        "postgresql://postgres:pw@roundhouse.proxy.rlwy.net:41234/railway",
        Expect { shown: "roundhouse.proxy.rlwy.net:41234/railway as postgres", ..PLAIN },
    );
    check(
        "postgres://app:pw@app-db.flycast:5432/app?sslmode=disable",
        Expect { shown: "app-db.flycast:5432/app as app", ssl: Disable, ..PLAIN },
    );
    check(
        "postgres://avnadmin:pw@pg-1.aivencloud.com:12691/defaultdb?sslmode=require&sslrootcert=ca.pem",
        Expect {
            shown: "pg-1.aivencloud.com:12691/defaultdb as avnadmin",
            ssl: Require,
            conninfo: "sslrootcert='ca.pem'",
            ..PLAIN
        },
    );
    check(
        "postgres://application:pw@p.abc.db.postgresbridge.com:5432/postgres?sslmode=verify-full&sslrootcert=system",
        Expect {
            shown: "p.abc.db.postgresbridge.com:5432/postgres as application",
            ssl: VerifyFull,
            conninfo: "sslmode=verify-full sslrootcert='system'",
            ..PLAIN
        },
    );
    // Frameworks: Prisma, SQLAlchemy, asyncpg, node-postgres, a line of an .env file.
    let h = "h:5432/db as u";
    check(
        "postgresql://u:pw@h:5432/db?schema=public&connection_limit=5&pool_timeout=20&socket_timeout=30&sslaccept=accept_invalid_certs",
        Expect {
            shown: h,
            ignored: &["schema", "connection_limit", "pool_timeout", "socket_timeout", "sslaccept"],
            ..PLAIN
        },
    );
    check("postgresql://u:pw@h/db?sslmode=require&sslaccept=strict", Expect { shown: h, ssl: VerifyFull, ..PLAIN });
    check(
        "postgresql+asyncpg://u:pw@h/db?ssl=require",
        Expect { shown: h, ssl: Require, ignored: &["+asyncpg"], ..PLAIN },
    );
    check("postgres://u:pw@h/db?ssl=true", Expect { shown: h, ssl: Require, ..PLAIN });
    check("postgres://u:pw@h/db?sslmode=no-verify", Expect { shown: h, ssl: Require, ..PLAIN });
    check("DATABASE_URL=\"postgres://u:pw@h/db\"", Expect { shown: h, ..PLAIN });
    // Passwords, escaped and pasted as they are; none.
    check("postgres://u:p%40%3A%2F%23%3F%25x@h/db", Expect { shown: h, password: Some("p@:/#?%x"), ..PLAIN });
    check("postgres://u:a@b/c:d@h/db", Expect { shown: h, password: Some("a@b/c:d"), ..PLAIN });
    check("postgres://u:100%sure#1@h/db", Expect { shown: h, password: Some("100%sure#1"), ..PLAIN });
    check(
        "postgres://u:w?hat&why@h/db?sslmode=require",
        Expect { shown: h, password: Some("w?hat&why"), ssl: Require, ..PLAIN },
    );
    check("postgres://u:@h/db", Expect { shown: h, password: None, ..PLAIN });
    // libpq's other form, and its less known keys.
    check(
        r"host=db.example port=5433 dbname='my app' user=u password='it\'s' sslmode=verify-full connect_timeout=60",
        Expect {
            shown: "db.example:5433/my app as u",
            password: Some("it's"),
            ssl: VerifyFull,
            conninfo: "connect_timeout=60",
            ..PLAIN
        },
    );
    check(
        "host=/var/run/postgresql dbname=app user=app",
        Expect { shown: "/var/run/postgresql/.s.PGSQL.5432/app as app", password: None, ..PLAIN },
    );
    check(
        "postgres://u:pw@h/db?hostaddr=192.0.2.7&target_session_attrs=read-write",
        Expect { shown: h, ignored: &["target_session_attrs"], conninfo: "hostaddr=192.0.2.7", ..PLAIN },
    );
    check(
        "postgres://u:pw@h/db?sslnegotiation=direct",
        Expect { shown: h, ssl: Require, conninfo: "sslnegotiation=direct", ..PLAIN },
    );
    // Who names an authority wants TLS.
    check("postgres://u:pw@h/db?sslrootcert=ca.pem", Expect { shown: h, ssl: Require, ..PLAIN });
    check("postgres://u:pw@h/db?sslrootcert=system", Expect { shown: h, ssl: VerifyFull, ..PLAIN });
}

#[test]
fn refuses_what_it_cannot_use_without_echoing_it() {
    let check = |url: &str, reason: &str| {
        let error = url.parse::<PgUrl>().expect_err(url).to_string();
        assert!(error.contains(reason), "{url}: {error}");
        assert!(!error.contains("sekret"), "{error}");
    };
    check("mysql://u:sekret@h/db", "does not start with postgresql://");
    check("sekret", "does not start with postgresql://");
    check("jdbc:postgresql://h:5432/db?user=u&password=sekret", "leave out the leading jdbc:");
    check("prisma://accelerate.prisma-data.net/?api_key=sekret", "DIRECT_URL");
    check("prisma+postgres://accelerate.prisma-data.net/?api_key=sekret", "DIRECT_URL");
    check("postgres://u:sekret@h:99999/db", "port is not a number");
    check("postgres://u:sekret@2001:db8::1/db", "IPv6 address needs brackets");
    check("postgres://u:sekret@[2001:db8::1/db", "no closing bracket");
    check("postgres://u:sekret@h1,h2/db", "keep the one to use");
    check("postgres://u:sekret@h1:5432,h2:5433/db?target_session_attrs=primary", "keep the one to use");
    check("host=h1,h2 dbname=db user=u password=sekret", "keep the one to use");
    check("postgres://u:sekret@/db", "names no host");
    check("postgres://h/db", "names no user");
    check("postgres://u:sekret@h/", "names no database");
    check("postgres://u:sekret@h", "names no database");
    check("postgres://u:[YOUR-PASSWORD]@h/db", "placeholder");
    check("postgres://u:5432?sekret@h/db", "%3F");
    check("postgres://u:sekret@h/db?sslmode=maybe", "sslmode");
    check("postgres://u:sekret@h/db?frobnicate=1", "frobnicate");
    check("postgres://u:sekret@h/db?service=app", "write the service's host");
    check("postgres://u@h/db?sslpassword=sekret", "openssl pkey");
    check("postgres://u:sekret@h/db?sslcert=ca.pem", "call it sslrootcert");
    check("postgres://u:sekret@h/db?sslmode=require&sslrootcert=system", "use sslmode=verify-full");
    check("postgres://u:sekret@h/db?sslmode=prefer&sslnegotiation=direct", "use sslmode=require");
    check("postgres://u:sekret@h/db?sslmode=disable&channel_binding=require", "needs TLS");
    check("postgres://u:sekret@h/db?sslcrl=x.pem", "revocation lists are not read");
    check("host=h password='sekret", "not closed");
    check("host=h user=u dbname=db sekret", "neither a postgresql:// URL nor");
    check("postgres://u:sek%00ret@h/db", "zero byte");
}
