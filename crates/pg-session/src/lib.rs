//! How tierlift talks to any Postgres: connection URLs as people have them, TLS as libpq means it, sessions whose
//! settings are pinned, identifiers that are always quoted, errors that name their object, and advisory locks.
//!
//! [`PgUrl`] never shows its password: not through `Display`, `Debug` or serde. [`Session`] derefs to
//! [`tokio_postgres::Client`], so everything that client can do is at hand.

mod behind;
mod connect;
mod error;
mod lock;
mod name;
mod patience;
mod session;
mod tls;
mod unreachable;
mod url;

pub use behind::{Behind, look_behind};
pub use error::{DbError, SessionError, is_transient};
pub use lock::{AdvisoryLock, Holder};
pub use name::{Ident, Relation, literal};
pub use session::{Access, Session};
pub use tokio_postgres;
pub use url::{ChannelBinding, PgUrl, SslMode};
