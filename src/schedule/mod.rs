//! When and where calls run.

pub mod executor;
pub mod queue;
