//! Tests that tell a story of several rooms.

mod hand_over;
mod machine;
mod older_sdk;
mod recovery;
mod schema;
mod stranger;
mod types;
