//! A new store is like one that the SDK makes: the same tables, version and settings.

use std::path::{Path, PathBuf};

use matrix_sdk_crypto::OlmMachine;
use matrix_sdk_sqlite::SqliteCryptoStore;
use ruma::{device_id, user_id};
use rusqlite::{Connection, types::Value};
use tempfile::TempDir;

use crate::{
    bootstrap::bootstrap,
    identity::Status,
    request::{Options, Request},
};

const SCHEMA_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/schema.sql");

#[tokio::test(flavor = "multi_thread")]
async fn a_new_store_has_what_a_store_of_the_sdk_has() {
    let folder = TempDir::new().unwrap();
    let by_sdk = folder.path().join("sdk");
    make_with_sdk(&by_sdk).await;
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(SCHEMA_FILE, schema(&open(&by_sdk))).unwrap();
        return;
    }
    for name in ["the first of a process", "the second"] {
        let ours = folder.path().join(name);
        call(&ours, Options::default()).await;
        assert_eq!(describe(&ours), describe(&by_sdk));
    }
}

/// An empty database is there if the SDK was interrupted before it made tables.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_store_is_small_whatever_was_there_before() {
    for passphrase in [None, Some("secret")] {
        let folder = TempDir::new().unwrap();
        let stores = ["first", "second", "empty", "interrupted"].map(|name| folder.path().join(name));
        let [_, _, empty, interrupted] = &stores;
        std::fs::create_dir(empty).unwrap();
        std::fs::write(database(empty), "").unwrap();
        std::fs::create_dir(interrupted).unwrap();
        open(interrupted).pragma_update(None, "journal_mode", "WAL").unwrap();
        assert_eq!(page_size(interrupted), 4096);

        for store in stores {
            let passphrase = passphrase.map(|passphrase| passphrase.to_owned().into());
            assert_eq!(call(&store, Options { passphrase, ..Options::default() }).await, Status::Created);
            assert_eq!(page_size(&store), 1024);
            assert!(std::fs::metadata(database(&store)).unwrap().len() <= 64 * 1024);
            assert_eq!(std::fs::read_dir(&store).unwrap().count(), 1, "one file");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_store_keeps_the_size_of_its_pages() {
    let folder = TempDir::new().unwrap();
    let store = folder.path().join("store");
    make_with_sdk(&store).await;
    for reset in [false, true] {
        call(&store, Options { reset, ..Options::default() }).await;
        assert_eq!(page_size(&store), 4096);
    }
}

async fn call(store: &Path, options: Options) -> Status {
    let request = Request::new("@_ghost:example.org", "GHOSTDEVICE", store.to_str().unwrap(), options);
    bootstrap(request.unwrap()).await.unwrap().status
}

async fn make_with_sdk(store: &Path) {
    let opened = SqliteCryptoStore::open(store, None).await.unwrap();
    let machine =
        OlmMachine::with_store(user_id!("@_ghost:example.org"), device_id!("GHOSTDEVICE"), opened, None);
    machine.await.unwrap().bootstrap_cross_signing(false).await.unwrap();
}

fn open(store: &Path) -> Connection {
    Connection::open(database(store)).unwrap()
}

fn database(store: &Path) -> PathBuf {
    store.join("matrix-sdk-crypto.sqlite3")
}

fn page_size(store: &Path) -> u32 {
    open(store).query_row("PRAGMA page_size", (), |row| row.get(0)).unwrap()
}

fn describe(store: &Path) -> Vec<(&'static str, Vec<Vec<Value>>)> {
    let database = open(store);
    [
        "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name",
        "SELECT key FROM kv ORDER BY key",
        "SELECT hex(value) FROM kv WHERE key IN ('version', 'HAS_MIGRATED_VERIFICATION_LATCH') ORDER BY key",
        "SELECT count(*) FROM device",
        "SELECT count(*) FROM identity",
        "PRAGMA journal_mode",
        "PRAGMA auto_vacuum",
        "PRAGMA encoding",
        "PRAGMA user_version",
        "PRAGMA application_id",
        "PRAGMA foreign_key_check",
        "PRAGMA integrity_check",
    ]
    .map(|sql| (sql, query(&database, sql)))
    .into()
}

fn query(database: &Connection, sql: &str) -> Vec<Vec<Value>> {
    let mut statement = database.prepare(sql).unwrap();
    let columns = statement.column_count();
    let rows = statement.query_map((), |row| (0..columns).map(|column| row.get(column)).collect()).unwrap();
    rows.collect::<rusqlite::Result<_>>().unwrap()
}

/// The text of `schema.sql`.
fn schema(database: &Connection) -> String {
    let sql = "
        SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'
        UNION ALL
        SELECT 'INSERT INTO kv VALUES (''version'', x''' || hex(value) || ''')' FROM kv WHERE key = 'version'";
    let statements = query(database, sql).into_iter().map(|row| match row.as_slice() {
        [Value::Text(statement)] => format!("\n{statement};\n"),
        other => panic!("not one text: {other:?}"),
    });
    let header = "-- The tables of a crypto store, as the Matrix SDK that this package is built with makes them.\n\
                  -- `UPDATE_SCHEMA=1 cargo test schema` writes this file.\n";
    header.to_owned() + statements.collect::<String>().as_str()
}
