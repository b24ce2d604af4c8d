//! How the Matrix SDK writes keys and values into a crypto store: plain `MessagePack`, or encrypted
//! with a key of the store's own that the passphrase protects.

use matrix_sdk_store_encryption::{EncryptedValue, Error as CipherError, StoreCipher};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::error::{Error, ErrorCode, Result};

/// Upper bound on the rounds of the key derivation. The SDK uses 200,000. A damaged number would
/// otherwise keep a thread busy for minutes.
const MOST_ROUNDS: u32 = 10_000_000;

/// The first bytes of every encrypted value: a map of three, whose first key is "version".
pub const ENCRYPTED_PREFIX: &[u8] = b"\x83\xa7version";

pub enum Codec {
    Plain,
    Encrypted(StoreCipher),
}

impl Codec {
    /// Opens the store's own key, as it stands in the row `cipher`.
    pub fn unlock(cipher: &[u8], passphrase: &str) -> Result<Self> {
        if rounds(cipher).is_some_and(|rounds| rounds > MOST_ROUNDS) {
            return Err(Error::corrupt("the cipher in it is not one of the Matrix SDK's"));
        }
        match StoreCipher::import(passphrase, cipher) {
            Ok(cipher) => Ok(Self::Encrypted(cipher)),
            Err(CipherError::Encryption(_)) => Err(Error::new(
                ErrorCode::StorePassphrase,
                "the passphrase does not open it. Give the one that it was made with",
            )),
            Err(CipherError::KdfMismatch) => Err(Error::new(
                ErrorCode::StorePassphrase,
                "it is encrypted with a key, not with a passphrase. This package cannot open it",
            )),
            Err(_) => Err(Error::corrupt("the cipher in it is not one of the Matrix SDK's")),
        }
    }

    /// A key for a new store, and the row `cipher` that holds it.
    pub fn create(passphrase: &str) -> Result<(Self, Vec<u8>)> {
        let failed = |_| Error::internal("the SDK cannot make a cipher");
        let cipher = StoreCipher::new().map_err(failed)?;
        let exported = cipher.export(passphrase).map_err(failed)?;
        Ok((Self::Encrypted(cipher), exported))
    }

    pub fn is_encrypting(&self) -> bool {
        matches!(self, Self::Encrypted(_))
    }

    /// The key of a row in one of the tables whose keys the SDK hashes.
    pub fn key(&self, table: &str, key: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => key.to_owned(),
            Self::Encrypted(cipher) => cipher.hash_key(table, key).to_vec(),
        }
    }

    pub fn encode(&self, value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>> {
        let encoded = rmp_serde::to_vec_named(value)
            .map(Zeroizing::new)
            .map_err(|_| Error::internal("a value cannot be written as MessagePack"))?;
        self.encode_bytes(encoded)
    }

    pub fn encode_bytes(&self, mut bytes: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>> {
        match self {
            Self::Plain => Ok(bytes),
            // `encrypt_value_data` wipes what it is given.
            Self::Encrypted(cipher) => cipher
                .encrypt_value_data(std::mem::take(&mut *bytes))
                .ok()
                .and_then(|encrypted| rmp_serde::to_vec_named(&encrypted).ok())
                .map(Zeroizing::new)
                .ok_or_else(|| Error::internal("the SDK cannot encrypt a value")),
        }
    }

    pub fn decode<T: DeserializeOwned>(&self, what: &str, stored: &[u8]) -> Result<T> {
        let plain = self.decode_bytes(what, stored)?;
        rmp_serde::from_slice(&plain).map_err(|_| cannot_decode(what))
    }

    pub fn decode_bytes(&self, what: &str, stored: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        match self {
            Self::Plain => Ok(Zeroizing::new(stored.to_owned())),
            Self::Encrypted(cipher) => rmp_serde::from_slice::<EncryptedValue>(stored)
                .ok()
                .and_then(|encrypted| cipher.decrypt_value_data(encrypted).ok())
                .map(Zeroizing::new)
                .ok_or_else(|| cannot_decode(what)),
        }
    }
}

/// Never says why: the decoder's complaint may quote a private key.
pub fn cannot_decode(what: &str) -> Error {
    Error::corrupt(format_args!("the {what} in it cannot be decoded"))
}

pub fn is_encrypted(value: &[u8]) -> bool {
    value.starts_with(ENCRYPTED_PREFIX)
}

/// How many rounds of key derivation the row `cipher` asks for.
fn rounds(cipher: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Exported {
        kdf_info: Derivation,
    }
    #[derive(Deserialize)]
    enum Derivation {
        None,
        Pbkdf2ToChaCha20Poly1305 { rounds: u32 },
    }
    let exported: Exported =
        rmp_serde::from_slice(cipher).or_else(|_| serde_json::from_slice(cipher)).ok()?;
    match exported.kdf_info {
        Derivation::None => None,
        Derivation::Pbkdf2ToChaCha20Poly1305 { rounds } => Some(rounds),
    }
}
