//! When and where calls run.

pub mod abort;
pub mod executor;
pub mod processors;
pub mod queue;
