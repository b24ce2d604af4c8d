//! Secrets of 32 bytes: seeds of private keys, and recovery keys.

use matrix_sdk_crypto::vodozemac::{base64_decode, base64_encode};
use zeroize::{Zeroize, Zeroizing};

pub const LENGTH: usize = 32;

/// Wiped when it is dropped. It is in a box, so that a move leaves no copy behind.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8; LENGTH]>);

impl Secret {
    /// A secret that is filled by a function. An error of the function is passed on.
    pub fn fill<E>(fill: impl FnOnce(&mut [u8; LENGTH]) -> Result<(), E>) -> Result<Self, E> {
        let mut secret = Self(Box::new([0; LENGTH]));
        fill(&mut secret.0)?;
        Ok(secret)
    }

    pub fn as_bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }

    /// Base64 with or without padding. `None` if it is not base64 of 32 bytes: vodozemac panics on a key of
    /// another length.
    pub fn from_base64(text: &[u8]) -> Option<Self> {
        let bytes = Zeroizing::new(base64_decode(text).ok()?);
        (bytes.len() == LENGTH).then(|| Self::from(bytes.as_slice()))
    }

    /// Unpadded base64.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(base64_encode(self.0.as_slice()))
    }

    fn from(bytes: &[u8]) -> Self {
        let mut secret = Self(Box::new([0; LENGTH]));
        secret.0.copy_from_slice(bytes);
        secret
    }
}

/// Takes the box over, without a copy.
impl From<Box<[u8; LENGTH]>> for Secret {
    fn from(bytes: Box<[u8; LENGTH]>) -> Self {
        Self(bytes)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_32_bytes_in_base64_are_a_secret() {
        let text = Secret::from(&[7; 32]).to_base64();
        for text in [text.to_string(), format!("{}=", *text)] {
            assert!(Secret::from_base64(text.as_bytes()).unwrap().as_bytes() == &[7; 32]);
        }
        for length in [0, 31, 33, 64] {
            assert!(Secret::from_base64(base64_encode(vec![7; length]).as_bytes()).is_none(), "{length}");
        }
        assert!(Secret::from_base64("?".repeat(43).as_bytes()).is_none());
    }
}
