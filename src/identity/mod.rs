//! A ghost's account, device and cross-signing identity: read, checked, made, signed.

mod ghost;
mod payloads;
mod private;

pub use self::{
    ghost::{Bootstrapped, Ghost},
    payloads::{Payloads, Status},
    private::Seeds,
};
