//! The steps the engine sees, one file an action.

mod render_write;

use runbook::{Action, Failure, Inspect};
use serde_json::Value;

use render_write::{RENDER_WRITE, RenderWrite};

/// The read-only half of an action of this crate; none when the name is not one of ours.
pub fn inspect(name: &str, with: &Value) -> Option<Result<Box<dyn Inspect>, Failure>> {
    (name == RENDER_WRITE).then(|| RenderWrite::parse(with).map(|action| Box::new(action) as Box<dyn Inspect>))
}

/// A whole action of this crate; none when the name is not one of ours.
pub fn action(name: &str, with: &Value) -> Option<Result<Box<dyn Action>, Failure>> {
    (name == RENDER_WRITE).then(|| RenderWrite::parse(with).map(|action| Box::new(action) as Box<dyn Action>))
}
