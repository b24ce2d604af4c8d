//! What the homeserver serves. It is read, compared with a store, and judged by the rules of other users'
//! clients.

mod comparison;
mod server_keys;
mod verdict;

pub use self::{
    comparison::{Comparison, Upload, Warning, check_conflict, compare},
    server_keys::ServerKeys,
    verdict::verdict,
};
