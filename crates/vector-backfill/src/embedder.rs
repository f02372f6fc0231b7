//! What turns texts into vectors.

/// Turns texts into vectors of one fixed length. Called on a thread that may block, from several at once.
///
/// The local [`StaticModel`](crate::StaticModel) is one; a provider over HTTP or a file of precomputed vectors fits the
/// same shape.
pub trait Embedder: Send + Sync {
    /// The model's name, for reports.
    fn model(&self) -> &str;

    /// Length of every vector.
    fn dimensions(&self) -> usize;

    /// The model's own length, when it is shorter than [`Embedder::dimensions`] and its vectors were lifted.
    fn lifted_from(&self) -> Option<usize>;

    /// One answer a text, in the same order: a vector of length 1 with [`Embedder::dimensions`] entries, or why that
    /// text can't be embedded.
    fn embed(&self, texts: &[&str]) -> Vec<Result<Vec<f32>, String>>;
}
