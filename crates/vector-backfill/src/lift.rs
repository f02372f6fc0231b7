//! A fixed map from a short vector to a longer one that keeps every inner product, and so every distance and angle.
//!
//! The column has the dimensions the application was designed for, a small local model has fewer. Padding with zeros
//! would keep inner products too, but leave most of the column constant. Instead the vector is repeated, each copy with
//! its entries in another order and with other signs, and the whole divided by the square root of the number of copies:
//!
//! ```text
//! lift(v) = [P1 v, P2 v, ... Pn v] / sqrt(n)      each Pi a signed permutation, so Pi v . Pi w = v . w
//! ```
//!
//! The columns of that map are orthonormal, whatever the permutations. They are drawn from fixed seeds, so every version
//! of tierlift lifts alike: a query lifted today finds rows lifted last year.

use crate::error::Error;

/// Most copies a lift makes: 65,536 dimensions are more than any column holds.
pub(crate) const COPIES_MAX: usize = 64;

/// The map for one pair of lengths.
#[derive(Debug, Clone)]
pub struct Lift {
    native: usize,
    /// For each entry of the result: where it comes from, and with which sign and scale.
    entries: Vec<(u32, f32)>,
}

impl Lift {
    /// The map from `native` to `dimensions`.
    ///
    /// # Errors
    /// When `dimensions` is no multiple of `native`.
    pub fn new(native: usize, dimensions: usize) -> Result<Self, Error> {
        let copies = dimensions.checked_div(native).unwrap_or(0);
        if copies == 0 || copies > COPIES_MAX || copies * native != dimensions {
            return Err(Error::Dimensions { dimensions, native });
        }
        let scale = if copies == 1 { 1.0 } else { (1.0 / (copies as f64).sqrt()) as f32 };
        let mut entries = Vec::with_capacity(dimensions);
        for copy in 0..copies {
            entries.extend(signed_permutation(native, copy as u64).map(|(from, sign)| (from, sign * scale)));
        }
        Ok(Self { native, entries })
    }

    /// Length of the result.
    pub fn dimensions(&self) -> usize {
        self.entries.len()
    }

    /// Lifts one vector.
    ///
    /// # Panics
    /// When the vector does not have the native length.
    pub fn lift(&self, vector: &[f32]) -> Vec<f32> {
        assert_eq!(vector.len(), self.native, "a vector of the model's own length");
        self.entries.iter().map(|(from, factor)| vector[*from as usize] * factor).collect()
    }
}

/// The first copy is the vector itself, the others are shuffled (Fisher-Yates) and their signs drawn.
fn signed_permutation(n: usize, copy: u64) -> impl Iterator<Item = (u32, f32)> {
    let mut random = SplitMix64(0x7469_6572_6c69_6674 ^ copy);
    let mut order: Vec<u32> = (0..n as u32).collect();
    if copy > 0 {
        for i in (1..n).rev() {
            order.swap(i, (random.next() % (i as u64 + 1)) as usize);
        }
    }
    order.into_iter().map(move |from| (from, if copy > 0 && random.next() & 1 == 1 { -1.0 } else { 1.0 }))
}

/// Steele, Lea and Flood's generator: tiny, and the same everywhere for ever, which no library promises of its default.
pub(crate) struct SplitMix64(pub u64);

impl SplitMix64 {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    }

    fn random_unit(random: &mut SplitMix64, n: usize) -> Vec<f32> {
        let v: Vec<f32> = (0..n).map(|_| random.next() as f32 / u64::MAX as f32 - 0.5).collect();
        let norm = dot(&v, &v).sqrt() as f32;
        v.iter().map(|x| x / norm).collect()
    }

    #[test]
    fn keeps_inner_products() {
        let mut random = SplitMix64(7);
        for (native, dimensions) in [(256, 1536), (256, 256), (256, 512), (384, 1536), (4, 12)] {
            let lift = Lift::new(native, dimensions).unwrap();
            assert_eq!(lift.dimensions(), dimensions);
            for _ in 0..200 {
                let (a, b) = (random_unit(&mut random, native), random_unit(&mut random, native));
                let error = (dot(&lift.lift(&a), &lift.lift(&b)) - dot(&a, &b)).abs();
                assert!(error < 2e-7, "{native} to {dimensions}: off by {error:e}");
            }
        }
    }

    #[test]
    fn is_the_same_for_ever() {
        let lift = Lift::new(256, 1536).unwrap();
        let v: Vec<f32> = (0..256).map(|i| i as f32).collect();
        let lifted = lift.lift(&v);
        let picked: Vec<i64> = [0, 255, 256, 600, 1000, 1535].map(|i| (lifted[i] * 6f32.sqrt()).round() as i64).into();
        assert_eq!(picked, PINNED);
    }

    /// Taken from the first version. A change here makes every stored vector useless to every later query.
    const PINNED: [i64; 6] = [0, 255, -48, 76, 71, 127];

    #[test]
    fn refuses_lengths_it_cannot_reach() {
        for (native, dimensions) in [(256, 1000), (256, 128), (256, 0), (0, 1536), (1, 1536)] {
            let said = Lift::new(native, dimensions).unwrap_err().to_string();
            assert!(said.contains(&format!("{dimensions} dimensions")), "{said}");
        }
    }
}
