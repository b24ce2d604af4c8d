//! A ghost: the account of its device, and its cross-signing identity if it has one.

use matrix_sdk_crypto::{
    OwnUserIdentityData, SignatureError,
    olm::{Account, PickledCrossSigningIdentity},
    types::{CrossSigningKey, DeviceKeys, Signatures},
};
use ruma::{DeviceId, UserId};
use serde::Serialize;
use serde_json::json;

use super::{
    payloads::{Payloads, Status},
    private::{Found, PrivateKeys, PublicPart, StoredIdentity},
};
use crate::{
    error::{Error, ErrorCode, Result},
    keys::{PublicIdentity, check_signed_by_key},
    store::{Changes, DeviceRecord, Rows},
};

/// What a store holds of a ghost, checked against each other; or a new ghost.
pub struct Ghost {
    account: Account,
    is_new: bool,
    keys: Option<PrivateKeys>,
    /// What the store holds of an identity, if that is not all of it.
    part: Option<PublicPart>,
    /// The private identity, if it comes from the secret storage and is not in the store yet.
    adopted: Option<PickledCrossSigningIdentity>,
    /// The public identity as the store records it.
    recorded: Option<PublicIdentity>,
    device: Option<DeviceRecord>,
}

/// How much of an identity a store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    None,
    Incomplete,
    Complete,
}

/// What a store holds of a ghost, in short.
#[derive(Serialize)]
pub struct Summary {
    pub identity: Extent,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master_key: Option<String>,
    pub device_signed: bool,
    pub device_keys_uploaded: bool,
}

/// A bootstrapped ghost: what to upload, and what to write into the store.
pub struct Bootstrapped {
    pub status: Status,
    pub payloads: Payloads,
    pub changes: Changes,
    pub keys: PrivateKeys,
}

impl Ghost {
    /// Makes an account. Its identity comes with the bootstrap.
    pub fn new(user_id: &UserId, device_id: &DeviceId) -> Self {
        let account = Account::with_device_id(user_id, device_id);
        Self::of(account, true)
    }

    /// Checks that the rows belong to this user and device, and to each other. One damaged bit must
    /// neither cost an identity nor give payloads that nobody can verify.
    ///
    /// With `ignores_identity`, the identity is about to be replaced, and may be damaged.
    pub async fn from_rows(
        rows: Rows,
        user_id: &UserId,
        device_id: &DeviceId,
        ignores_identity: bool,
    ) -> Result<Self> {
        let Rows { account, private_identity, public_identity, device } = rows;
        check_account(&account, user_id, device_id)?;
        if let Some(device) = &device {
            check_device(&device.device_keys, &account)?;
        }
        let mut ghost = Self { device, ..Self::of(account, false) };
        if ignores_identity {
            return Ok(ghost);
        }
        if let Some(identity) = &private_identity {
            match PrivateKeys::check(identity, user_id).await? {
                Found::Nothing => {}
                Found::Part(part) => ghost.part = Some(part),
                Found::All(keys) => ghost.keys = Some(keys),
            }
        }
        ghost.recorded = public_identity.map(|identity| PublicIdentity {
            master_key: identity.master_key().as_ref().clone(),
            self_signing_key: identity.self_signing_key().as_ref().clone(),
            user_signing_key: identity.user_signing_key().as_ref().clone(),
        });
        ghost.check_recorded()?;
        Ok(ghost)
    }

    fn of(account: Account, is_new: bool) -> Self {
        Self { account, is_new, keys: None, part: None, adopted: None, recorded: None, device: None }
    }

    fn check_recorded(&self) -> Result<()> {
        let (Some(keys), Some(recorded)) = (&self.keys, &self.recorded) else { return Ok(()) };
        if !keys.public.is_same(recorded) {
            return Err(Error::corrupt("its public identity is not that of its private keys"));
        }
        recorded.check_signatures().map_err(|_| bad_signature("public identity"))
    }

    /// The public half of the identity whose private keys the store holds.
    pub fn identity(&self) -> Option<&PublicIdentity> {
        self.keys.as_ref().map(|keys| &keys.public)
    }

    /// What a bootstrap would find, without making or signing anything.
    pub fn summary(&self) -> Result<Summary> {
        let identity = match &self.keys {
            Some(keys) => match self.public_identity(keys, None) {
                Ok(_) => Extent::Complete,
                Err(error) if error.code == ErrorCode::IdentityIncomplete => Extent::Incomplete,
                Err(error) => return Err(error),
            },
            None if self.part.is_some() || self.recorded.is_some() => Extent::Incomplete,
            None => Extent::None,
        };
        let public = self.identity().or(self.recorded.as_ref());
        Ok(Summary {
            identity,
            master_key: public.and_then(master_key),
            device_signed: public.map_or(Ok(false), |public| self.is_device_signed(public))?,
            device_keys_uploaded: self.account.shared(),
        })
    }

    /// `IDENTITY_INCOMPLETE` if the store holds some of the private keys of an identity, but not all.
    pub fn check_complete(&self) -> Result<()> {
        self.part.as_ref().map_or(Ok(()), |part| Err(part.incomplete()))
    }

    /// Gives the ghost the identity from its secret storage. Fails with `IDENTITY_CONFLICT` if the store has
    /// something of another identity, except for public keys that the homeserver no longer serves.
    ///
    /// The public identity is taken from where it has the signatures that it is published with: `served`,
    /// which must be the stored one, or else the store. Otherwise it is signed anew.
    pub fn adopt(
        &mut self,
        StoredIdentity { pickle, keys }: StoredIdentity,
        served: Option<PublicIdentity>,
    ) -> Result<()> {
        if let Some(key) = self.part.take().and_then(|part| part.other_key(&keys.public)) {
            return Err(other_stored(&format!("holds the private part of {key}"), &keys.public));
        }
        let recorded = self.recorded.take();
        let other = recorded.as_ref().filter(|recorded| !keys.public.is_same(recorded));
        if let (None, Some(other)) = (&served, other) {
            let master_key = master_key(other).unwrap_or_default();
            return Err(other_stored(
                &format!("knows the identity with the master key {master_key}"),
                &keys.public,
            ));
        }
        let recorded =
            recorded.filter(|recorded| keys.public.is_same(recorded) && recorded.check_signatures().is_ok());
        self.recorded = Some(match served.or(recorded) {
            Some(found) => {
                PublicIdentity { master_key: self.without_wrong_signatures(&found.master_key)?, ..found }
            }
            None => self.sign_identity(&keys)?,
        });
        self.adopted = Some(pickle);
        self.keys = Some(keys);
        Ok(())
    }

    /// `IDENTITY_INCOMPLETE` if the store knows an identity of the user without its private keys: the
    /// homeserver has got it from elsewhere, and a new identity would replace it.
    pub fn check_not_foreign(&self) -> Result<()> {
        let foreign = self.recorded.as_ref().filter(|_| self.keys.is_none());
        let Some(master_key) = foreign.and_then(master_key) else { return Ok(()) };
        Err(Error::new(
            ErrorCode::IdentityIncomplete,
            format!(
                "it knows the identity with the master key {master_key}, but holds none of its private keys. Call \
                 again with serverKeys, which tell whether the homeserver still has that identity, or replace it \
                 with the option reset, after which whoever verified this user has to do so again"
            ),
        ))
    }

    /// Keeps the identity if there is one, makes one if there is none, and signs the device.
    ///
    /// `served` is the identity that the homeserver serves, if it is known and has all three keys.
    pub async fn bootstrap(mut self, served: Option<&PublicIdentity>) -> Result<Bootstrapped> {
        match self.keys.take() {
            Some(keys) => self.resume(keys, served),
            None => self.create().await,
        }
    }

    async fn create(self) -> Result<Bootstrapped> {
        let failed = |_| Error::internal("the SDK made an identity that cannot be used");
        let (identity, _, _) = self.account.bootstrap_cross_signing().await;
        let Found::All(keys) = PrivateKeys::check(&identity, self.account.user_id()).await? else {
            return Err(Error::internal("the SDK made an incomplete identity"));
        };
        let payloads = self.payloads(&keys, keys.public.clone()).map_err(failed)?;
        payloads.check().map_err(failed)?;
        let changes = Changes {
            account: self.is_new.then(|| self.account.pickle()),
            private_identity: Some(identity.pickle().await),
            public_identity: Some(own_identity(&payloads)?),
            device: Some(self.signed_device(&payloads)?),
        };
        Ok(Bootstrapped { status: Status::Created, payloads, changes, keys })
    }

    fn resume(mut self, keys: PrivateKeys, served: Option<&PublicIdentity>) -> Result<Bootstrapped> {
        let identity = self.public_identity(&keys, served)?;
        let payloads =
            self.payloads(&keys, identity).map_err(|_| Error::internal("the device cannot be signed"))?;
        payloads.check().map_err(|_| bad_signature("identity"))?;
        let adopted = self.adopted.take();
        let status = if adopted.is_some() { Status::Restored } else { Status::Resumed };
        let mut changes =
            Changes { account: self.is_new.then(|| self.account.pickle()), ..Changes::default() };
        if self.recorded.is_none() || adopted.is_some() {
            changes.public_identity = Some(own_identity(&payloads)?);
        }
        if !self.is_device_signed(&keys.public)? {
            changes.device = Some(self.signed_device(&payloads)?);
        }
        changes.private_identity = adopted;
        Ok(Bootstrapped { status, payloads, changes, keys })
    }

    /// The public identity with the signatures that it is published with.
    ///
    /// The homeserver has the last word on the signatures: others than ours may have come to the master
    /// key, and Synapse answers 500 to a key that it has with other signatures.
    ///
    /// The SDK keeps the signatures beside the private keys of an identity that it made. An identity that
    /// was imported has none there: then they stand in the public identity.
    fn public_identity(&self, keys: &PrivateKeys, served: Option<&PublicIdentity>) -> Result<PublicIdentity> {
        let ours = if has_signatures(&keys.public)? {
            Some(PublicIdentity { master_key: self.sign(keys)?, ..keys.public.clone() })
        } else if let Some(recorded) = &self.recorded {
            self.check_master_key(&recorded.master_key)?;
            Some(recorded.clone())
        } else {
            None
        };
        let served = served.filter(|served| self.is_sound(served, &keys.public)).cloned();
        served.or(ours).ok_or_else(|| {
            Error::new(
                ErrorCode::IdentityIncomplete,
                "it holds the private keys of a cross-signing identity, but not the signatures of its public keys. \
                 Call again with serverKeys, from which they can be taken, or make a new identity with the option \
                 reset, after which whoever verified this user has to do so again",
            )
        })
    }

    /// Whether the homeserver serves this identity and nothing else, with signatures that are right as far
    /// as they can be checked here.
    fn is_sound(&self, served: &PublicIdentity, ours: &PublicIdentity) -> bool {
        served.has_same_content(ours)
            && served.check_signatures().is_ok()
            && self.check_master_key(&served.master_key).is_ok()
    }

    /// The master key with its own signature and the device's, and nothing else.
    fn sign(&self, keys: &PrivateKeys) -> Result<CrossSigningKey> {
        let master_key = &keys.public.master_key;
        self.check_master_key(master_key)?;
        let CrossSigningKey { user_id, usage, keys: public, .. } = master_key.clone();
        let mut signed = CrossSigningKey::new(user_id, usage, public, Signatures::new());
        keys.sign_key(&mut signed)
            .and_then(|()| self.account.sign_cross_signing_key(&mut signed))
            .map_err(|_| Error::internal("the master key cannot be signed"))?;
        Ok(signed)
    }

    /// The public identity with the signatures that the SDK gives it when it makes one.
    fn sign_identity(&self, keys: &PrivateKeys) -> Result<PublicIdentity> {
        let mut identity = PublicIdentity { master_key: self.sign(keys)?, ..keys.public.clone() };
        for key in [&mut identity.self_signing_key, &mut identity.user_signing_key] {
            keys.sign_key(key).map_err(|_| Error::internal("an identity cannot be signed"))?;
        }
        Ok(identity)
    }

    /// The master key without the signatures of [`Self::check_master_key`] that are wrong. A device that is
    /// gone, with the same ID, may have made one.
    fn without_wrong_signatures(&self, key: &CrossSigningKey) -> Result<CrossSigningKey> {
        let failed = || Error::internal("a master key cannot be read back");
        let device_id = format!("ed25519:{}", self.account.device_id());
        let own_id = key.get_first_key_and_id().map(|(id, _)| id.to_string()).unwrap_or_default();
        let mut fields = serde_json::to_value(key).map_err(|_| failed())?;
        for (id, checked) in
            [(device_id, self.account.device_keys().has_signed(key)), (own_id, check_signed_by_key(key, key))]
        {
            let signatures = fields["signatures"].get_mut(key.user_id.as_str());
            if is_there(&checked, "master key").is_err()
                && let Some(signatures) = signatures.and_then(serde_json::Value::as_object_mut)
            {
                signatures.remove(&id);
            }
        }
        serde_json::from_value(fields).map_err(|_| failed())
    }

    /// Checks the signatures of the master key that can be checked here: its own and the device's.
    fn check_master_key(&self, key: &CrossSigningKey) -> Result<()> {
        for checked in [self.account.device_keys().has_signed(key), check_signed_by_key(key, key)] {
            is_there(&checked, "master key")?;
        }
        Ok(())
    }

    fn payloads(
        &self,
        keys: &PrivateKeys,
        identity: PublicIdentity,
    ) -> std::result::Result<Payloads, SignatureError> {
        let mut device_keys = self.account.device_keys();
        keys.sign_device(&mut device_keys)?;
        let mut cross_signed = self.account.static_data().unsigned_device_keys();
        keys.sign_device(&mut cross_signed)?;
        Ok(Payloads::new(identity, device_keys, cross_signed, self.account.shared()))
    }

    /// Whether the store records the device with the signature of the self-signing key.
    fn is_device_signed(&self, identity: &PublicIdentity) -> Result<bool> {
        let Some(device) = &self.device else { return Ok(false) };
        is_there(&identity.check_device(&device.device_keys), "device")
    }

    /// The SDK signs the device for the server, and leaves its own record of it unsigned until it reads
    /// the device back from there. The ghost's own machine should not have to wait for that.
    fn signed_device(&self, payloads: &Payloads) -> Result<DeviceRecord> {
        let keys = payloads.device_keys.clone();
        match &self.device {
            Some(device) => device.clone().with_keys(keys),
            None => DeviceRecord::own(keys),
        }
    }
}

fn other_stored(what: &str, stored: &PublicIdentity) -> Error {
    Error::new(
        ErrorCode::IdentityConflict,
        format!(
            "it {what}, and the secret storage holds the identity with the master key {}. To go on with the identity \
             of the secret storage, use a new device ID and an empty folder. To replace both, use the option reset, \
             after which whoever verified this user has to do so again",
            master_key(stored).unwrap_or_default()
        ),
    )
}

fn check_account(account: &Account, user_id: &UserId, device_id: &DeviceId) -> Result<()> {
    if account.user_id() == user_id && account.device_id() == device_id {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::AccountMismatch,
        format!(
            "it belongs to {} with device {}, not to {user_id} with device {device_id}. Give each device of each user \
             a store of its own",
            account.user_id(),
            account.device_id(),
        ),
    ))
}

fn check_device(recorded: &DeviceKeys, account: &Account) -> Result<()> {
    let own = account.static_data().unsigned_device_keys();
    let is_same = (&recorded.user_id, &recorded.device_id, &recorded.keys, &recorded.dehydrated)
        == (&own.user_id, &own.device_id, &own.keys, &own.dehydrated);
    if !is_same {
        return Err(Error::corrupt("its device is not that of its account"));
    }
    recorded.check_self_signature().map_err(|_| bad_signature("device"))
}

fn master_key(identity: &PublicIdentity) -> Option<String> {
    identity.master_key.get_first_key_and_id().map(|(_, key)| key.to_base64())
}

/// Whether the master key has signed the other two keys.
fn has_signatures(identity: &PublicIdentity) -> Result<bool> {
    is_there(&identity.check_signatures(), "identity")
}

/// Whether a signature is there. A wrong one is damage.
fn is_there(checked: &std::result::Result<(), SignatureError>, of: &str) -> Result<bool> {
    match checked {
        Ok(()) => Ok(true),
        Err(SignatureError::NoSignatureFound) => Ok(false),
        Err(_) => Err(bad_signature(of)),
    }
}

fn bad_signature(of: &str) -> Error {
    Error::corrupt(format_args!("a signature of its {of} is wrong"))
}

/// The SDK exposes no constructor for the public identity, so this builds its stored form.
fn own_identity(payloads: &Payloads) -> Result<OwnUserIdentityData> {
    let mut stored = json!(payloads.upload_keys);
    stored["user_id"] = json!(payloads.device_keys.user_id);
    stored["verified"] = json!("Verified");
    serde_json::from_value(stored).map_err(|_| Error::internal("the SDK does not know its own identity"))
}
