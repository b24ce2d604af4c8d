//! What JavaScript gives and gets.

pub(crate) mod arguments;
pub mod intrinsics;
pub(crate) mod result;
pub mod types;
