//! The four rows of a crypto store that a bootstrap is about, and their form. The tables `kv`,
//! `identity` and `device` and these rows have been the same from schema 9 to schema 19.

use matrix_sdk_crypto::{
    DeviceData, LocalTrust, OwnUserIdentityData, UserIdentityData,
    olm::{Account, PickledAccount, PickledCrossSigningIdentity, PrivateCrossSigningIdentity},
    types::DeviceKeys,
};
use ruma::{DeviceId, UserId};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Deserialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::codec::{Codec, cannot_decode};
use crate::{
    error::{Error, Result, clipped},
    keys::check_key_lengths,
};

/// What a store holds of a ghost. Decoded, but not yet checked against each other.
pub struct Rows {
    pub account: Account,
    pub private_identity: Option<PrivateCrossSigningIdentity>,
    pub public_identity: Option<OwnUserIdentityData>,
    pub device: Option<DeviceRecord>,
}

/// What a call writes. A row that is `None` stays as it is.
#[derive(Default)]
pub struct Changes {
    pub account: Option<PickledAccount>,
    pub private_identity: Option<PickledCrossSigningIdentity>,
    pub public_identity: Option<OwnUserIdentityData>,
    pub device: Option<DeviceRecord>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        let Self { account, private_identity, public_identity, device } = self;
        account.is_none() && private_identity.is_none() && public_identity.is_none() && device.is_none()
    }
}

/// The row of a device: its keys, and what is known about it. The other fields are kept as they are,
/// also those of SDKs that are newer than ours.
#[derive(Clone)]
pub struct DeviceRecord {
    fields: Map<String, Value>,
    pub device_keys: DeviceKeys,
}

impl DeviceRecord {
    /// The machine's own device, as the SDK records it when it makes an account.
    pub fn own(device_keys: DeviceKeys) -> Result<Self> {
        let device = DeviceData::new(device_keys.clone(), LocalTrust::Verified);
        match serde_json::to_value(device) {
            Ok(Value::Object(fields)) => Ok(Self { fields, device_keys }),
            _ => Err(Error::internal("the SDK's record of a device is not an object")),
        }
    }

    pub fn with_keys(mut self, device_keys: DeviceKeys) -> Result<Self> {
        let keys = serde_json::to_value(&device_keys)
            .map_err(|_| Error::internal("device keys cannot be written as JSON"))?;
        self.fields.insert("device_keys".to_owned(), keys);
        self.device_keys = device_keys;
        Ok(self)
    }

    fn decode(codec: &Codec, stored: &[u8]) -> Result<Self> {
        let fields: Map<String, Value> = codec.decode("device", stored)?;
        let failed = || cannot_decode("device");
        let keys = fields.get("device_keys").ok_or_else(failed)?;
        check_key_lengths(keys).map_err(|_| failed())?;
        let device_keys = DeviceKeys::deserialize(keys).map_err(|_| failed())?;
        // The SDK must be able to read the row, too.
        DeviceData::deserialize(&Value::Object(fields.clone())).map_err(|_| failed())?;
        Ok(Self { fields, device_keys })
    }
}

/// Reads a value of the table `kv`.
pub fn value(database: &Connection, key: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let mut statement = database.prepare("SELECT value FROM kv WHERE key = ?1")?;
    Ok(statement.query_row((key,), |row| row.get(0)).optional()?.map(Zeroizing::new))
}

/// Reads the rows of the account that the store belongs to. `None` if it belongs to nobody yet.
pub fn read(database: &Connection, codec: &Codec) -> Result<Option<Rows>> {
    let private_identity =
        value(database, "identity")?.map(|stored| decode_private_identity(codec, &stored)).transpose()?;
    let Some(account) = value(database, "account")? else {
        return if private_identity.is_some() || belongs_to_somebody(database)? {
            Err(Error::corrupt("it holds an identity or a device, but no account"))
        } else {
            Ok(None)
        };
    };
    let account: PickledAccount = codec.decode("account", &account)?;
    let account = Account::from_pickle(account).map_err(|_| cannot_decode("account"))?;
    Ok(Some(Rows {
        private_identity,
        public_identity: read_public_identity(database, codec, account.user_id())?,
        device: read_device(database, codec, account.user_id(), account.device_id())?,
        account,
    }))
}

fn belongs_to_somebody(database: &Connection) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM identity) OR EXISTS (SELECT 1 FROM device)";
    Ok(database.query_row(sql, (), |row| row.get(0))?)
}

fn decode_private_identity(codec: &Codec, stored: &[u8]) -> Result<PrivateCrossSigningIdentity> {
    #[derive(Deserialize)]
    struct Identity {
        keys: Keys,
    }
    #[derive(Deserialize)]
    #[allow(clippy::struct_field_names)] // the SDK's names
    struct Keys {
        master_key: Option<Key>,
        self_signing_key: Option<Key>,
        user_signing_key: Option<Key>,
    }
    #[derive(Deserialize)]
    struct Key {
        public_key: Value,
    }

    let what = "private identity";
    let plain = codec.decode_bytes(what, stored)?;
    let Identity { keys } = rmp_serde::from_slice(&plain).map_err(|_| cannot_decode(what))?;
    for key in [keys.master_key, keys.self_signing_key, keys.user_signing_key].into_iter().flatten() {
        check_key_lengths(&key.public_key).map_err(|_| cannot_decode(what))?;
    }
    let pickle: PickledCrossSigningIdentity =
        rmp_serde::from_slice(&plain).map_err(|_| cannot_decode(what))?;
    PrivateCrossSigningIdentity::from_pickle(pickle).map_err(|_| cannot_decode(what))
}

fn read_public_identity(
    database: &Connection,
    codec: &Codec,
    user: &UserId,
) -> Result<Option<OwnUserIdentityData>> {
    let what = "public identity";
    let stored: Option<Vec<u8>> = database
        .prepare("SELECT data FROM identity WHERE user_id = ?1")?
        .query_row((codec.key("identity", user.as_bytes()),), |row| row.get(0))
        .optional()?;
    let Some(stored) = stored else { return absent(database, "identity") };
    let fields: Value = codec.decode(what, &stored)?;
    let Some(Value::Object(keys)) = fields.get("Own") else { return Err(cannot_decode(what)) };
    if !keys.values().filter(|key| key.is_object()).all(|key| check_key_lengths(key).is_ok()) {
        return Err(cannot_decode(what));
    }
    match UserIdentityData::deserialize(fields) {
        Ok(UserIdentityData::Own(identity)) => Ok(Some(identity)),
        _ => Err(cannot_decode(what)),
    }
}

fn read_device(
    database: &Connection,
    codec: &Codec,
    user: &UserId,
    device: &DeviceId,
) -> Result<Option<DeviceRecord>> {
    let stored: Option<Vec<u8>> = database
        .prepare("SELECT data FROM device WHERE user_id = ?1 AND device_id = ?2")?
        .query_row((device_key(codec, user), codec.key("device", device.as_bytes())), |row| row.get(0))
        .optional()?;
    match stored {
        Some(stored) => DeviceRecord::decode(codec, &stored).map(Some),
        None => absent(database, "device"),
    }
}

fn device_key(codec: &Codec, user: &UserId) -> Vec<u8> {
    codec.key("device", user.as_bytes())
}

/// A damaged index hides rows. A row is absent only if the table and its indexes agree.
fn absent<T>(database: &Connection, table: &str) -> Result<Option<T>> {
    check_table(database, table)?;
    Ok(None)
}

/// Checks a table and its indexes against each other.
pub fn check_table(database: &Connection, table: &str) -> Result<()> {
    let verdict: String =
        database.query_row(&format!("PRAGMA integrity_check({table})"), (), |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(Error::corrupt(clipped(&verdict))) }
}

/// Encoded rows, ready to be written. The encoding is not part of the transaction: while that is
/// open, an `OlmMachine` in this process can get in between.
pub struct Encoded(Vec<Row>);

enum Row {
    Value { key: &'static str, value: Zeroizing<Vec<u8>> },
    Identity { user: Vec<u8>, data: Zeroizing<Vec<u8>> },
    Device { user: Vec<u8>, device: Vec<u8>, data: Zeroizing<Vec<u8>> },
}

impl Encoded {
    pub fn new(codec: &Codec, changes: &Changes) -> Result<Self> {
        let mut rows = Vec::new();
        if let Some(account) = &changes.account {
            rows.push(Row::Value { key: "account", value: codec.encode(account)? });
            // The SDK's mark that nothing is left to migrate from older versions.
            let value = codec.encode_bytes(Zeroizing::new(vec![0]))?;
            rows.push(Row::Value { key: "HAS_MIGRATED_VERIFICATION_LATCH", value });
        }
        if let Some(identity) = &changes.private_identity {
            rows.push(Row::Value { key: "identity", value: codec.encode(identity)? });
        }
        if let Some(identity) = &changes.public_identity {
            rows.push(Row::Identity {
                user: codec.key("identity", identity.user_id().as_bytes()),
                data: codec.encode(&UserIdentityData::from(identity.clone()))?,
            });
        }
        if let Some(DeviceRecord { fields, device_keys }) = &changes.device {
            rows.push(Row::Device {
                user: device_key(codec, &device_keys.user_id),
                device: codec.key("device", device_keys.device_id.as_bytes()),
                data: codec.encode(fields)?,
            });
        }
        Ok(Self(rows))
    }

    pub fn write(&self, database: &Connection) -> Result<()> {
        for row in &self.0 {
            match row {
                Row::Value { key, value } => database.execute(
                    "INSERT INTO kv (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2",
                    params![key, value.as_slice()],
                )?,
                Row::Identity { user, data } => database.execute(
                    "INSERT INTO identity (user_id, data) VALUES (?1, ?2) ON CONFLICT (user_id) DO UPDATE SET data = ?2",
                    params![user, data.as_slice()],
                )?,
                Row::Device { user, device, data } => database.execute(
                    "INSERT INTO device (user_id, device_id, data) VALUES (?1, ?2, ?3)
                     ON CONFLICT (user_id, device_id) DO UPDATE SET data = ?3",
                    params![user, device, data.as_slice()],
                )?,
            };
        }
        Ok(())
    }
}
