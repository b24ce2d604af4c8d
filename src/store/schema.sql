-- The tables of a crypto store, as the Matrix SDK that this package is built with makes them.
-- `UPDATE_SCHEMA=1 cargo test schema` writes this file.

CREATE TABLE "kv" (
    "key" TEXT PRIMARY KEY NOT NULL,
    "value" BLOB NOT NULL
);

CREATE TABLE "session" (
    "session_id" BLOB PRIMARY KEY NOT NULL,
    "sender_key" BLOB NOT NULL,
    "data" BLOB NOT NULL
);

CREATE INDEX "session_sender_key_idx"
    ON "session" ("sender_key");

CREATE TABLE "inbound_group_session" (
    "session_id" BLOB PRIMARY KEY NOT NULL,
    "room_id" BLOB NOT NULL,
    "backed_up" INTEGER NOT NULL,
    "data" BLOB NOT NULL
, "sender_key" BLOB, "sender_data_type" INTEGER);

CREATE INDEX "inbound_group_session_room_id_idx"
    ON "inbound_group_session" ("room_id");

CREATE TABLE "outbound_group_session" (
    "room_id" BLOB PRIMARY KEY NOT NULL,
    "data" BLOB NOT NULL
);

CREATE TABLE "device" (
    "user_id" BLOB NOT NULL,
    "device_id" BLOB NOT NULL,
    "data" BLOB NOT NULL,

    PRIMARY KEY ("user_id", "device_id")
);

CREATE INDEX "device_user_id"
    ON "device" ("user_id");

CREATE TABLE "identity" (
    "user_id" BLOB PRIMARY KEY NOT NULL,
    "data" BLOB NOT NULL
);

CREATE TABLE "tracked_user" (
    "user_id" BLOB PRIMARY KEY NOT NULL,
    "data" BLOB NOT NULL
);

CREATE TABLE "olm_hash" (
    "data" BLOB PRIMARY KEY NOT NULL
);

CREATE TABLE "key_requests" (
    "request_id" BLOB PRIMARY KEY NOT NULL,
    "sent_out" INTEGER NOT NULL,
    "data" BLOB NOT NULL
);

CREATE TABLE room_settings(
    "room_id" BLOB PRIMARY KEY NOT NULL,
    "data" BLOB NOT NULL
);

CREATE TABLE "direct_withheld_info" (
    "session_id" BLOB PRIMARY KEY NOT NULL,
    "room_id" BLOB NOT NULL,
    "data" BLOB NOT NULL
);

CREATE TABLE "lease_locks" (
    "key" TEXT PRIMARY KEY NOT NULL,
    "holder" TEXT NOT NULL,
    "expiration" REAL NOT NULL
, "generation" INTEGER NOT NULL DEFAULT 1);

CREATE INDEX "inbound_group_session_sender_key_sender_data_type_idx"
    ON "inbound_group_session" ("sender_key", "sender_data_type", "session_id");

CREATE TABLE "received_room_key_bundle"
(
    "room_id"        BLOB NOT NULL,
    "sender_user_id" BLOB NOT NULL,
    "bundle_data"    BLOB NOT NULL
);

CREATE UNIQUE INDEX "received_room_key_bundle_room_id_user_id_idx"
    ON "received_room_key_bundle" ("room_id", "sender_user_id");

CREATE INDEX "direct_withheld_info_room_id_idx"
    ON "direct_withheld_info" ("room_id");

CREATE TABLE room_key_backups_fully_downloaded (
    "room_id" BLOB PRIMARY KEY NOT NULL
);

CREATE TABLE "rooms_pending_key_bundle"
(
    "room_id" BLOB PRIMARY KEY NOT NULL,
    "data"    BLOB             NOT NULL
);

CREATE TABLE "secrets_inbox" (
    "secret_name" BLOB NOT NULL,
    "secret" BLOB NOT NULL
);

CREATE UNIQUE INDEX "secrets_inbox_secret_name_secret_idx"
    ON "secrets_inbox" ("secret_name", "secret");

INSERT INTO kv VALUES ('version', x'11');
