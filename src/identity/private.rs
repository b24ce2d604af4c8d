//! The private half of a cross-signing identity.

use matrix_sdk_crypto::{
    SignatureError,
    olm::{PickledCrossSigningIdentity, PrivateCrossSigningIdentity},
    types::{CrossSigningKey, DeviceKeys, Signatures},
    vodozemac::Ed25519SecretKey,
};
use ruma::{UserId, encryption::KeyUsage, events::secret::request::SecretName};
use zeroize::Zeroizing;

use crate::{
    error::{Error, ErrorCode, Result},
    keys::{PublicIdentity, is_same_key, signed_text},
    secret::Secret,
};

/// A private identity that was kept outside of the store.
pub struct StoredIdentity {
    pub pickle: PickledCrossSigningIdentity,
    /// The public keys in it have no signatures.
    pub keys: PrivateKeys,
}

/// The seeds of the three private keys.
pub struct Seeds {
    pub master: Secret,
    pub self_signing: Secret,
    pub user_signing: Secret,
}

impl Seeds {
    /// The private identity, as the SDK imports it.
    pub async fn import(&self, user: &UserId) -> Result<StoredIdentity> {
        let failed = || Error::internal("the SDK does not take the private keys of an identity");
        let identity = PrivateCrossSigningIdentity::empty(user);
        let [master, self_signing, user_signing] =
            [&self.master, &self.self_signing, &self.user_signing].map(Secret::to_base64);
        identity
            .import_secrets_unchecked(
                Some(master.as_str()),
                Some(self_signing.as_str()),
                Some(user_signing.as_str()),
            )
            .await
            .map_err(|_| failed())?;
        match PrivateKeys::check(&identity, user).await? {
            Found::All(keys) => Ok(StoredIdentity { pickle: identity.pickle().await, keys }),
            _ => Err(failed()),
        }
    }
}

/// The three private keys, each checked against the public key that stands beside it.
pub struct PrivateKeys {
    pub public: PublicIdentity,
    master: Ed25519SecretKey,
    self_signing: Ed25519SecretKey,
    user_signing: Ed25519SecretKey,
}

/// How many of the three private keys there are.
pub enum Found {
    Nothing,
    Part(PublicPart),
    All(PrivateKeys),
}

/// The public keys whose private keys are there, if not all of them are.
pub struct PublicPart([(&'static str, Option<CrossSigningKey>); 3]);

impl PublicPart {
    /// A key that is not of this identity, in words.
    pub fn other_key(&self, identity: &PublicIdentity) -> Option<String> {
        let theirs = [&identity.master_key, &identity.self_signing_key, &identity.user_signing_key];
        self.0.iter().zip(theirs).find_map(|((name, key), theirs)| {
            let key = key.as_ref().filter(|key| !is_same_key(key, theirs))?;
            let (_, public) = key.get_first_key_and_id()?;
            Some(format!("the {name} {}", public.to_base64()))
        })
    }

    pub fn incomplete(&self) -> Error {
        let missing = self.0.iter().filter(|(_, key)| key.is_none()).map(|(name, _)| *name);
        Error::new(
            ErrorCode::IdentityIncomplete,
            format!(
                "it holds a cross-signing identity without the private {}: the identity was imported from elsewhere. \
                 Import the rest, or make a new identity with the option reset, after which whoever verified this \
                 user has to do so again",
                missing.collect::<Vec<_>>().join(" and ")
            ),
        )
    }
}

impl PrivateKeys {
    pub async fn check(identity: &PrivateCrossSigningIdentity, user: &UserId) -> Result<Found> {
        if identity.user_id() != user {
            return Err(Error::corrupt("its private identity belongs to another user than its account"));
        }
        let master = identity.master_public_key().await.map(|key| key.as_ref().clone());
        let self_signing = identity.self_signing_public_key().await.map(|key| key.as_ref().clone());
        let user_signing = identity.user_signing_public_key().await.map(|key| key.as_ref().clone());
        let (master_key, self_signing_key, user_signing_key) = match (master, self_signing, user_signing) {
            (None, None, None) => return Ok(Found::Nothing),
            (Some(master), Some(self_signing), Some(user_signing)) => (master, self_signing, user_signing),
            (master, self_signing, user_signing) => {
                return Ok(Found::Part(PublicPart([
                    ("master key", master),
                    ("self-signing key", self_signing),
                    ("user-signing key", user_signing),
                ])));
            }
        };
        let public = PublicIdentity { master_key, self_signing_key, user_signing_key };
        let secret = async |name, public, usage| secret(identity, &name, public, &usage, user).await;
        let master = secret(SecretName::CrossSigningMasterKey, &public.master_key, KeyUsage::Master).await?;
        let user_signing =
            secret(SecretName::CrossSigningUserSigningKey, &public.user_signing_key, KeyUsage::UserSigning)
                .await?;
        let self_signing =
            secret(SecretName::CrossSigningSelfSigningKey, &public.self_signing_key, KeyUsage::SelfSigning)
                .await?;
        Ok(Found::All(Self { public, master, self_signing, user_signing }))
    }

    pub fn seeds(&self) -> Seeds {
        let [master, self_signing, user_signing] =
            [&self.master, &self.self_signing, &self.user_signing].map(|key| Secret::from(key.to_bytes()));
        Seeds { master, self_signing, user_signing }
    }

    /// Signs a cross-signing key with the master key, as the SDK does when it makes an identity.
    pub fn sign_key(&self, key: &mut CrossSigningKey) -> std::result::Result<(), SignatureError> {
        let text = signed_text(key)?;
        add_signature(&mut key.signatures, &text, &self.master, &self.public.master_key)
    }

    /// Signs a device with the self-signing key. The SDK does so only in an `OlmMachine`, which reads
    /// the account back from the store several times.
    pub fn sign_device(&self, device: &mut DeviceKeys) -> std::result::Result<(), SignatureError> {
        let text = signed_text(device)?;
        add_signature(&mut device.signatures, &text, &self.self_signing, &self.public.self_signing_key)
    }
}

fn add_signature(
    signatures: &mut Signatures,
    text: &str,
    secret: &Ed25519SecretKey,
    public: &CrossSigningKey,
) -> std::result::Result<(), SignatureError> {
    let (key_id, _) = public.get_first_key_and_id().ok_or(SignatureError::UnsupportedAlgorithm)?;
    signatures.add_signature(public.user_id.clone(), key_id.to_owned(), secret.sign(text.as_bytes()));
    Ok(())
}

/// A private key, if its public half is the one that stands beside it.
async fn secret(
    identity: &PrivateCrossSigningIdentity,
    name: &SecretName,
    public: &CrossSigningKey,
    usage: &KeyUsage,
    user: &UserId,
) -> Result<Ed25519SecretKey> {
    let seed = identity.export_secret(name).await.map(Zeroizing::new);
    let secret = seed.and_then(|seed| Ed25519SecretKey::from_base64(&seed).ok());
    let fits = |secret: &Ed25519SecretKey| {
        let key = secret.public_key();
        public.user_id == user
            && public.usage == [usage.clone()]
            && public.keys.iter().count() == 1
            && public.get_first_key_and_id().is_some_and(|(id, found)| {
                found == key && id.as_str() == format!("ed25519:{}", key.to_base64())
            })
    };
    secret.filter(fits).ok_or_else(|| {
        Error::corrupt("a private key of its identity does not belong to the public key beside it")
    })
}
