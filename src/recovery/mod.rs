//! Recovery by Secure Secret Storage: an identity outlives its store in the user's account data, encrypted
//! with a recovery key.
//! <https://spec.matrix.org/v1.16/client-server-api/#secret-storage>

mod account_data;
mod escrow;
mod key;
mod served;
mod storage;

pub use self::{
    account_data::AccountData,
    escrow::{AccountDataUpload, Escrow},
    key::RecoveryKey,
    served::served_identity,
    storage::SecretStorage,
};

use ruma::UserId;

use crate::error::Result;

/// What the caller gives for recovery.
#[derive(Clone)]
pub struct Recovery {
    pub key: RecoveryKey,
    /// `None`: not known.
    pub account_data: Option<AccountData>,
}

impl Recovery {
    /// Opens the secret storage of a user with the recovery key, or prepares a new one.
    pub fn open(&self, user_id: &UserId) -> Result<SecretStorage> {
        SecretStorage::open(&self.key, self.account_data.as_ref(), user_id)
    }
}
