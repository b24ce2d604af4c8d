//! Tests that tell a story of several rooms.

mod hand_over;
mod machine;
mod schema;
