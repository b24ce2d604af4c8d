//! Recovery keys: made, derived, read and written.
//! <https://spec.matrix.org/v1.16/client-server-api/#key-representation>

use hkdf::Hkdf;
use matrix_sdk_crypto::secret_storage::SecretStorageKey;
use ruma::UserId;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{
    error::{Error, ErrorCode, Result},
    secret::{self, Secret},
};

/// The shortest secret of an operator, in bytes.
const SHORTEST_SECRET: usize = 32;

/// What HKDF is told beside the user ID. It keeps the keys apart from what else is derived from the same
/// secret. To change it makes every identity that was escrowed with a derived key unreachable.
const DERIVED_KEY: &str = "rust-crypto-helper recovery key v1 ";
const DERIVED_ID: &str = "rust-crypto-helper key ID v1 ";

const PREFIX: [u8; 2] = [0x8b, 0x01];

/// Two bytes before the key, and the parity after it.
const DECODED_LENGTH: usize = 2 + secret::LENGTH + 1;

/// The bytes that [`DECODED_LENGTH`] bytes take in base58 at most.
const LONGEST_TEXT: usize = 48;

/// How many characters clients show as one group.
const GROUP: usize = 4;

const NOT_BASE58: &str = "it holds a character that is not base58";

/// A key of the secret storage.
#[derive(Clone)]
pub struct RecoveryKey(Secret);

impl RecoveryKey {
    pub fn create() -> Result<Self> {
        let text = Zeroizing::new(SecretStorageKey::new().to_base58());
        Self::parse(&text)
    }

    /// HKDF-SHA-256 without a salt. The same secret and user always give the same key.
    pub fn derive(secret: &[u8], user_id: &UserId) -> Result<Self> {
        if secret.len() < SHORTEST_SECRET {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                format!(
                    "secret must have at least {SHORTEST_SECRET} bytes, not {}. Make one with openssl rand -base64 32",
                    secret.len()
                ),
            ));
        }
        let key = Secret::fill(|key| expand(secret, &[DERIVED_KEY, user_id.as_str()], key))?;
        Ok(Self(key))
    }

    /// Reads a key as clients show it. White space does not count.
    pub fn parse(text: &str) -> Result<Self> {
        let mut compact = Zeroizing::new([0; LONGEST_TEXT]);
        let mut length = 0;
        for character in text.chars().filter(|character| !character.is_whitespace()) {
            let place = compact.get_mut(length).ok_or_else(|| invalid("it is too long"))?;
            *place = u8::try_from(character).map_err(|_| invalid(NOT_BASE58))?;
            length += 1;
        }
        let mut decoded = Zeroizing::new([0; DECODED_LENGTH]);
        let decoded_length =
            bs58::decode(&compact[..length]).onto(decoded.as_mut_slice()).map_err(|error| match error {
                bs58::decode::Error::BufferTooSmall => invalid("it is too long"),
                _ => invalid(NOT_BASE58),
            })?;
        if decoded_length != DECODED_LENGTH {
            return Err(invalid("it is too short"));
        }
        if decoded[..2] != PREFIX {
            return Err(invalid("it does not begin as a recovery key does"));
        }
        if parity(decoded.as_slice()) != 0 {
            return Err(invalid("its parity is wrong: probably a character was mistyped"));
        }
        Secret::fill(|key| {
            key.copy_from_slice(&decoded[2..DECODED_LENGTH - 1]);
            Ok(())
        })
        .map(Self)
    }

    /// Refuses a text by its length, before it is read.
    pub fn too_long() -> Error {
        invalid("it is too long")
    }

    /// The key as clients show it, in groups of four characters.
    pub fn to_text(&self) -> Result<Zeroizing<String>> {
        let compact = self.to_base58()?;
        let mut text = Zeroizing::new(String::with_capacity(2 * LONGEST_TEXT));
        for (index, character) in compact.chars().enumerate() {
            if index > 0 && index % GROUP == 0 {
                text.push(' ');
            }
            text.push(character);
        }
        Ok(text)
    }

    /// The key without the spaces, as the SDK takes it.
    pub fn to_base58(&self) -> Result<Zeroizing<String>> {
        let mut bytes = Zeroizing::new([0; DECODED_LENGTH]);
        bytes[..2].copy_from_slice(&PREFIX);
        bytes[2..DECODED_LENGTH - 1].copy_from_slice(self.0.as_bytes());
        bytes[DECODED_LENGTH - 1] = parity(bytes.as_slice());
        let mut text = Zeroizing::new([0; LONGEST_TEXT]);
        let length = bs58::encode(bytes.as_slice())
            .onto(text.as_mut_slice())
            .map_err(|_| Error::internal("a recovery key is too long"))?;
        std::str::from_utf8(&text[..length])
            .map(|text| Zeroizing::new(text.to_owned()))
            .map_err(|_| Error::internal("a recovery key is not text"))
    }

    /// The ID of this key in the secret storage of a user, unless the key has one there already. It does
    /// not tell the key. It is always the same, so that a call that is made again does not describe the key
    /// again.
    pub fn id(&self, user_id: &UserId) -> Result<String> {
        use std::fmt::Write;

        let mut bytes = [0; 16];
        expand(self.0.as_bytes(), &[DERIVED_ID, user_id.as_str()], &mut bytes)?;
        bytes.iter().try_fold(String::new(), |mut id, byte| {
            write!(id, "{byte:02x}").map_err(|_| Error::internal("a key ID cannot be written"))?;
            Ok(id)
        })
    }
}

fn expand(secret: &[u8], info: &[&str], output: &mut [u8]) -> Result<()> {
    let info: Vec<&[u8]> = info.iter().map(|part| part.as_bytes()).collect();
    // In a box: its memory is wiped when it is freed.
    let hkdf = Box::new(Hkdf::<Sha256>::new(None, secret));
    hkdf.expand_multi_info(&info, output).map_err(|_| Error::internal("HKDF refuses the length"))
}

/// All bytes of a key with its prefix and parity give 0.
fn parity(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |parity, byte| parity ^ byte)
}

/// Never quotes the key: it may be right but for one character.
fn invalid(why: &str) -> Error {
    Error::new(
        ErrorCode::InvalidRecoveryKey,
        format!(
            "the recovery key cannot be read: {why}. Give the key that createRecoveryKey, deriveRecoveryKey or a \
             client has shown, 12 groups of 4 characters"
        ),
    )
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    fn code(text: &str) -> Option<ErrorCode> {
        RecoveryKey::parse(text).err().map(|error| error.code)
    }

    /// The SDK's own text of a key is read and written as it is.
    #[test]
    fn keys_are_read_and_written_as_the_sdk_does() {
        for _ in 0..200 {
            let text = SecretStorageKey::new().to_base58();
            let key = RecoveryKey::parse(&text).unwrap();
            assert_eq!(*key.to_text().unwrap(), text);
            assert_eq!(*key.to_base58().unwrap(), text.replace(' ', ""));
            assert_eq!(code(&format!("\n{}\t ", text.replace(' ', "\u{a0}"))), None);
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let text = RecoveryKey::create().unwrap().to_base58().unwrap();
        let long = "1".repeat(1_000_000);
        let mistyped = if text.ends_with('2') { "3" } else { "2" };
        for wrong in [
            "",
            " ",
            "0OIl",
            "key",
            &text[1..],
            &text[..47],
            &format!("1{}", *text),
            &format!("{}1", *text),
            &format!("{}é", &text[..47]),
            &format!("{}\u{0}", &text[..47]),
            &format!("{}{mistyped}", &text[..47]),
            &long,
        ] {
            assert_eq!(code(wrong), Some(ErrorCode::InvalidRecoveryKey), "{}", wrong.len());
        }
    }

    #[test]
    fn nearly_every_mistyped_character_is_found() {
        let text = RecoveryKey::create().unwrap().to_base58().unwrap();
        let mut found = 0;
        for place in 0..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[place] = if bytes[place] == b'7' { b'8' } else { b'7' };
            found += usize::from(code(std::str::from_utf8(&bytes).unwrap()).is_some());
        }
        // The parity has eight bits.
        assert!(found > 40, "{found} of {}", text.len());
    }

    #[test]
    fn a_derived_key_belongs_to_a_secret_and_a_user() {
        let derive = |secret: &[u8], user: &UserId| {
            RecoveryKey::derive(secret, user).map(|key| key.to_text().unwrap().to_string())
        };
        let user = user_id!("@_ghost:example.org");
        let key = derive(&[7; 32], user).unwrap();
        assert_eq!(derive(&[7; 32], user).unwrap(), key);
        assert_ne!(derive(&[7; 33], user).unwrap(), key);
        assert_ne!(derive(&[7; 32], user_id!("@_ghost:example.com")).unwrap(), key);
        assert_eq!(derive(&[7; 31], user).unwrap_err().code, ErrorCode::InvalidArgument);
    }
}
