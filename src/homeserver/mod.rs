//! What the homeserver serves: read, compared with a store, judged as another user's client would.

mod comparison;
mod server_keys;
mod verdict;

pub use self::{
    comparison::{Comparison, Upload, Warning, check_conflict, compare},
    server_keys::ServerKeys,
    verdict::verdict,
};
