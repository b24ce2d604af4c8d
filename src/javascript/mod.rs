//! What JavaScript gives and gets.

pub(crate) mod arguments;
pub(crate) mod result;
pub mod types;
