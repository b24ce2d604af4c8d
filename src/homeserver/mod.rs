//! What the homeserver serves. It is read, compared with a store, and judged by the rules of other users'
//! clients.

mod comparison;
mod conflict;
mod server_keys;
mod verdict;

pub use self::{
    comparison::{Comparison, Upload, Warning, compare},
    conflict::{check_conflict, conflict},
    server_keys::{Answer, Record, ServerKeys},
    verdict::verdict,
};
