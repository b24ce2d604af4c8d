//! A store on the disk: its folder, its lock, its database, its rows. Nothing here knows what the rows
//! mean.

mod codec;
mod content;
mod files;
mod folder;
mod held;
mod lock;
mod new_database;
pub mod open_handles;
mod path;
mod rows;
mod seen;
mod staging;

pub use self::{
    files::FileIdentity,
    folder::StoreFolder,
    held::HeldStore,
    new_database::create as create_database,
    path::{Resolved, resolve},
    rows::{Changes, DeviceRecord, Rows},
    seen::{Seen, look},
    staging::Staging,
};
