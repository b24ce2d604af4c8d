//! A ghost's account, device and cross-signing identity: read, checked, made, signed.

mod ghost;
mod payloads;
mod private;

pub use self::{
    ghost::{Bootstrapped, Extent, Ghost, Summary},
    payloads::{Payloads, Status},
    private::{Seeds, StoredIdentity},
};
