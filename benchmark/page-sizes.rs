//! Measures the work of an `OlmMachine` on stores that differ in the size of their pages alone.
//!
//! `cargo run --release --locked --example page-sizes -- FOLDER ROUNDS COUNT SIZE...`

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use matrix_sdk_crypto::{
    DecryptionSettings, EncryptionSettings, EncryptionSyncChanges, OlmMachine, TrustRequirement,
    types::requests::{AnyOutgoingRequest, ToDeviceRequest},
};
use matrix_sdk_sqlite::SqliteCryptoStore;
use ruma::{
    DeviceId, OwnedRoomId, OwnedUserId, RoomId, UserId,
    api::client::{
        keys::{
            claim_keys::v3::Response as KeysClaimResponse,
            get_keys::v3::Response as KeysQueryResponse,
            upload_keys::v3::{Request as KeysUploadRequest, Response as KeysUploadResponse},
        },
        sync::sync_events::DeviceLists,
        to_device::send_event_to_device::v3::Response as ToDeviceResponse,
    },
    device_id,
    events::AnyToDeviceEvent,
    room_id,
    serde::Raw,
    user_id,
};
use rusqlite::Connection;
use serde_json::{Value, json, value::to_raw_value};
use tokio::runtime::Builder;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const DATABASE: &str = "matrix-sdk-crypto.sqlite3";
/// Room keys that come in one sync.
const AT_ONCE: usize = 10;
const STEPS: [&str; 6] = ["open, new", "room keys", "decrypt", "share", "encrypt", "open, with sessions"];

fn ghost_id() -> &'static UserId {
    user_id!("@_ghost:example.org")
}

fn ghost_device() -> &'static DeviceId {
    device_id!("GHOSTDEVICE")
}

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [folder, rounds, count, sizes @ ..] = arguments.as_slice() else {
        return Err("usage: page-sizes FOLDER ROUNDS COUNT SIZE...".into());
    };
    let (folder, rounds): (&Path, usize) = (folder.as_ref(), rounds.parse()?);
    let sizes = sizes.iter().map(|size| size.parse()).collect::<std::result::Result<Vec<u32>, _>>()?;
    let template = folder.join("template");
    let work = Work::prepare(&template, count.parse()?)?;

    let mut all: BTreeMap<u32, Vec<Measured>> = BTreeMap::new();
    for round in 0..rounds {
        for place in 0..sizes.len() {
            // What a size leaves to the file system to do must not always meet the same next one.
            let size = sizes[(place + round) % sizes.len()];
            let store = folder.join(size.to_string());
            with_pages(&template, &store, size)?;
            all.entry(size).or_default().push(work.measure(&store)?);
            fs::remove_dir_all(&store)?;
        }
        eprintln!("... round {} of {rounds}", round + 1);
    }
    print(&all);
    fs::remove_dir_all(&template)?;
    Ok(())
}

fn print(all: &BTreeMap<u32, Vec<Measured>>) {
    for (title, figure) in [
        ("Milliseconds", (|cost| cost.clock) as fn(&Cost) -> Duration),
        ("Milliseconds of the processor", |cost| cost.processor),
    ] {
        println!("{title}: the median, and from the fastest to the slowest.\n");
        println!("| page | new | with sessions | {} |", STEPS.join(" | "));
        println!("|---:|{}", "---:|".repeat(STEPS.len() + 2));
        for (size, rounds) in all {
            let kilobytes = |bytes: u64| bytes.div_ceil(1024);
            print!("| {size} | {} KB | {} KB ", kilobytes(rounds[0].new), kilobytes(rounds[0].grown));
            for step in 0..STEPS.len() {
                let mut times: Vec<Duration> =
                    rounds.iter().map(|round| figure(&round.costs[step])).collect();
                times.sort();
                let [median, least, most] =
                    [times.len() / 2, 0, times.len() - 1].map(|place| times[place].as_secs_f64() * 1000.0);
                print!("| {median:.1} ({least:.1} to {most:.1}) ");
            }
            println!("|");
        }
        println!();
    }
}

/// What something costs.
#[derive(Clone, Copy)]
struct Cost {
    clock: Duration,
    processor: Duration,
}

/// A moment from which costs are counted.
struct Start {
    clock: Instant,
    processor: Duration,
}

impl Start {
    fn now() -> Result<Self> {
        Ok(Self { clock: Instant::now(), processor: processor_time()? })
    }

    fn cost(&self) -> Result<Cost> {
        Ok(Cost { clock: self.clock.elapsed(), processor: processor_time()?.saturating_sub(self.processor) })
    }
}

/// Of this process, with all its threads, also those that have ended.
fn processor_time() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no name in stat")?;
    // Of the user and of the system, in hundredths of a second.
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    Ok(Duration::from_millis(10 * ticks.sum::<std::result::Result<u64, _>>()?))
}

/// Copies a store, and gives the copy pages of this size.
fn with_pages(template: &Path, store: &Path, size: u32) -> Result<()> {
    fs::create_dir_all(store)?;
    fs::copy(template.join(DATABASE), store.join(DATABASE))?;
    let database = Connection::open(store.join(DATABASE))?;
    // SQLite cannot change the size while there is a log.
    database.pragma_update(None, "journal_mode", "DELETE")?;
    database.pragma_update(None, "page_size", size)?;
    database.execute_batch("VACUUM")?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.close().map_err(|(_, error)| error)?;
    Ok(())
}

async fn open(store: &Path) -> Result<OlmMachine> {
    let store = SqliteCryptoStore::open(store, None).await?;
    Ok(OlmMachine::with_store(ghost_id(), ghost_device(), store, None).await?)
}

/// Does something with a runtime of its own: the SDK closes a store when its runtime ends, and not before.
fn run<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    Builder::new_multi_thread().enable_all().build()?.block_on(future)
}

/// The bytes of a store that nobody has open, without its log.
fn size(store: &Path) -> Result<u64> {
    Connection::open(store.join(DATABASE))?.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(fs::metadata(store.join(DATABASE))?.len())
}

/// What the ghost does, on each store the same.
struct Work {
    room_keys: Vec<Raw<AnyToDeviceEvent>>,
    messages: Vec<(OwnedRoomId, Value)>,
    users: Vec<OwnedUserId>,
    keys: KeysQueryResponse,
    one_time_keys: KeysClaimResponse,
}

struct Measured {
    new: u64,
    grown: u64,
    costs: Vec<Cost>,
}

impl Work {
    /// Makes a store of a ghost at `template`, `count` messages to it in as many rooms, and as many users with a
    /// device.
    fn prepare(template: &Path, count: usize) -> Result<Self> {
        let uploaded = run(async {
            let ghost = open(template).await?;
            ghost.bootstrap_cross_signing(false).await?;
            upload_keys(&ghost).await
        })?;
        size(template)?;
        run(Self::write_to(&uploaded, count))
    }

    async fn write_to(uploaded: &KeysUploadRequest, count: usize) -> Result<Self> {
        let sender = OlmMachine::new(user_id!("@sender:example.org"), device_id!("SENDERDEVICE")).await;
        let (mut keys, mut one_time_keys) =
            (KeysQueryResponse::new(), KeysClaimResponse::new(BTreeMap::new()));
        add_device(&mut keys, &mut one_time_keys, ghost_id(), ghost_device(), uploaded);
        meet(&sender, &[ghost_id().to_owned()], &keys, &one_time_keys).await?;
        let (mut room_keys, mut messages) = (Vec::new(), Vec::new());
        for number in 0..count {
            let room = OwnedRoomId::try_from(format!("!room{number}:example.org"))?;
            for request in share(&sender, &room, &[ghost_id().to_owned()]).await? {
                let content = &request.messages[ghost_id()].values().next().ok_or("no message")?;
                room_keys.push(raw(&json!({
                    "type": request.event_type,
                    "sender": sender.user_id(),
                    "content": content,
                }))?);
            }
            messages.push((room.clone(), message(&sender, &room, number).await?));
        }

        let (mut keys, mut one_time_keys) =
            (KeysQueryResponse::new(), KeysClaimResponse::new(BTreeMap::new()));
        let mut users = Vec::new();
        for number in 0..count {
            let user = UserId::parse(format!("@user{number}:example.org"))?;
            let machine = OlmMachine::new(&user, device_id!("USERDEVICE")).await;
            let uploaded = upload_keys(&machine).await?;
            add_device(&mut keys, &mut one_time_keys, &user, machine.device_id(), &uploaded);
            users.push(user);
        }
        Ok(Self { room_keys, messages, users, keys, one_time_keys })
    }

    fn measure(&self, store: &Path) -> Result<Measured> {
        let new = size(store)?;
        let mut costs = run(self.play(store))?;
        let grown = size(store)?;
        costs.push(run(async {
            let start = Start::now()?;
            open(store).await?;
            start.cost()
        })?);
        Ok(Measured { new, grown, costs })
    }

    async fn play(&self, store: &Path) -> Result<Vec<Cost>> {
        let mut start = Start::now()?;
        let mut costs = Vec::new();
        let mut done = || -> Result<()> {
            costs.push(start.cost()?);
            start = Start::now()?;
            Ok(())
        };

        let ghost = open(store).await?;
        done()?;
        for events in self.room_keys.chunks(AT_ONCE) {
            let changes = EncryptionSyncChanges {
                to_device_events: events.to_vec(),
                changed_devices: &DeviceLists::new(),
                one_time_keys_counts: &BTreeMap::new(),
                unused_fallback_keys: None,
                next_batch_token: None,
            };
            ghost.receive_sync_changes(changes, &settings()).await?;
        }
        done()?;
        for (room, event) in &self.messages {
            ghost.decrypt_room_event(&raw(event)?, room, &settings()).await?;
        }
        done()?;
        let room = room_id!("!ghosts:example.org");
        meet(&ghost, &self.users, &self.keys, &self.one_time_keys).await?;
        share(&ghost, room, &self.users).await?;
        done()?;
        for number in 0..self.messages.len() {
            message(&ghost, room, number).await?;
        }
        done()?;
        Ok(costs)
    }
}

fn settings() -> DecryptionSettings {
    DecryptionSettings { sender_device_trust_requirement: TrustRequirement::Untrusted }
}

fn raw<T>(value: &Value) -> Result<Raw<T>> {
    Ok(Raw::from_json(to_raw_value(value)?))
}

fn add_device(
    keys: &mut KeysQueryResponse,
    one_time_keys: &mut KeysClaimResponse,
    user: &UserId,
    device: &DeviceId,
    uploaded: &KeysUploadRequest,
) {
    if let Some(device_keys) = &uploaded.device_keys {
        keys.device_keys.entry(user.to_owned()).or_default().insert(device.to_owned(), device_keys.clone());
    }
    if let Some((id, key)) = uploaded.one_time_keys.iter().next() {
        let one = BTreeMap::from([(id.clone(), key.clone())]);
        one_time_keys.one_time_keys.entry(user.to_owned()).or_default().insert(device.to_owned(), one);
    }
}

async fn upload_keys(machine: &OlmMachine) -> Result<KeysUploadRequest> {
    for request in machine.outgoing_requests().await? {
        if let AnyOutgoingRequest::KeysUpload(upload) = request.request() {
            let response = KeysUploadResponse::new(BTreeMap::new());
            machine.mark_request_as_sent(request.request_id(), &response).await?;
            return Ok(upload.clone());
        }
    }
    Err("there are no keys to upload".into())
}

/// Learns the devices of the users, and makes a session with each.
async fn meet(
    machine: &OlmMachine,
    users: &[OwnedUserId],
    keys: &KeysQueryResponse,
    one_time_keys: &KeysClaimResponse,
) -> Result<()> {
    machine.update_tracked_users(users.iter().map(AsRef::as_ref)).await?;
    let (query, _) = machine.query_keys_for_users(users.iter().map(AsRef::as_ref));
    machine.mark_request_as_sent(&query, keys).await?;
    let claim = machine.get_missing_sessions(users.iter().map(AsRef::as_ref)).await?;
    let (claim, _) = claim.ok_or("no session is missing")?;
    Ok(machine.mark_request_as_sent(&claim, one_time_keys).await?)
}

async fn share(
    machine: &OlmMachine,
    room: &RoomId,
    users: &[OwnedUserId],
) -> Result<Vec<Arc<ToDeviceRequest>>> {
    // One key for all messages.
    let settings = EncryptionSettings { rotation_period_msgs: 10_000, ..EncryptionSettings::default() };
    let requests = machine.share_room_key(room, users.iter().map(AsRef::as_ref), settings).await?;
    for request in &requests {
        machine.mark_request_as_sent(&request.txn_id, &ToDeviceResponse::new()).await?;
    }
    Ok(requests)
}

async fn message(machine: &OlmMachine, room: &RoomId, number: usize) -> Result<Value> {
    let content = raw(&json!({ "msgtype": "m.text", "body": format!("message {number}") }))?;
    let encrypted = machine.encrypt_room_event_raw(room, "m.room.message", &content).await?;
    Ok(json!({
        "type": "m.room.encrypted",
        "event_id": format!("$event{number}:example.org"),
        "sender": machine.user_id(),
        "origin_server_ts": 0,
        "content": encrypted.content,
    }))
}
