//! Reads the option `recovery`. The account data in it are a homeserver's: only their own properties count.

use napi::{Env, Unknown, ValueType};
use zeroize::Zeroizing;

use super::{
    intrinsics, json,
    values::{check_object, check_options, invalid, is_longer, string, threw, type_of},
};
use crate::{
    error::{Result, clipped},
    homeserver::Record,
    recovery::{AccountData, Recovery, RecoveryKey},
};

const OPTIONS: [&str; 2] = ["key", "accountData"];

/// The longest text that is read as a key. A key takes 48 characters, and white space does not count.
const LONGEST_KEY: usize = 4096;

/// The most types of account data that are read. Five are enough, and one more for each other key.
const MOST_TYPES: usize = 100;

pub fn read(env: &Env, name: &str, recovery: Unknown) -> Result<Recovery> {
    check_options(env, name, recovery, &OPTIONS)?;
    let [key, account_data] =
        OPTIONS.map(|option| intrinsics::get(env, recovery, option.to_owned()).map_err(|_| threw()));
    let key = read_key(&format!("{name}.key"), key?)?;
    let account_data = account_data?;
    if type_of(account_data) == ValueType::Undefined {
        return Ok(Recovery { key, account_data: None });
    }
    let account_data = read_account_data(env, &format!("{name}.accountData"), account_data)?;
    Ok(Recovery { key, account_data: Some(account_data) })
}

pub fn read_key(name: &str, key: Unknown) -> Result<RecoveryKey> {
    if is_longer(key, LONGEST_KEY) {
        return Err(RecoveryKey::too_long());
    }
    RecoveryKey::parse(&Zeroizing::new(string(name, key)?))
}

fn read_account_data(env: &Env, place: &str, account_data: Unknown) -> Result<AccountData> {
    check_object(place, account_data)?;
    if !json::is_plain(env, account_data).map_err(|what| invalid(format!("{place}: {what}")))? {
        return Err(invalid(format!("{place} must be a plain object, with a content for each type")));
    }
    let mut read = AccountData::default();
    let mut room = MOST_TYPES;
    let names = intrinsics::keys(env, account_data).map_err(|_| threw())?;
    for index in 0..names.len() {
        let event_type: String = names.get(index).map_err(|_| threw())?.unwrap_or_default();
        if !AccountData::is_about_recovery(&event_type) {
            continue;
        }
        let content = intrinsics::get(env, account_data, event_type.clone()).map_err(|_| threw())?;
        if type_of(content) == ValueType::Undefined {
            continue;
        }
        room = room
            .checked_sub(1)
            .ok_or_else(|| invalid(format!("{place} describe more keys than a user can have")))?;
        let place = format!("{place}[{:?}]", clipped(&event_type));
        let refused = |what: &str| invalid(format!("{place} is not account data: {what}"));
        let Record { value, defect } = json::copy(env, content).map_err(|what| refused(&what))?;
        if let Some(defect) = defect {
            return Err(refused(defect));
        }
        read.insert(&event_type, value)?;
    }
    Ok(read)
}
