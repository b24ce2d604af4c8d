//! What JavaScript gives and gets.

mod answer;
pub(crate) mod arguments;
pub mod intrinsics;
mod json;
mod recovery;
pub(crate) mod result;
pub(crate) mod signal;
pub mod types;
mod values;
