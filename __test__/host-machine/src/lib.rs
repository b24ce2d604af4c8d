//! A host's crypto machine, driven by lines of JSON: the library of the binary and of the addon.

pub mod addon;
mod bodies;
mod describe;
mod error;
mod keys;
mod machine;
mod machines;
mod messages;
mod protocol;
mod requests;

pub use machines::close_all;
pub use protocol::answer;
