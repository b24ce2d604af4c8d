//! The machines of this process, by number.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use matrix_sdk_crypto::OlmMachine;

use crate::{error::Result, machine::Machine};

/// The inner lock lets a machine run one command at a time, so closing waits for a running command.
type Slot = Arc<Mutex<Option<Machine>>>;

/// A closed machine leaves its slot empty, so that its number is never reused.
static MACHINES: Mutex<Vec<Slot>> = Mutex::new(Vec::new());

pub fn add(machine: Machine) -> usize {
    let mut machines = lock(&MACHINES);
    machines.push(Arc::new(Mutex::new(Some(machine))));
    machines.len() - 1
}

pub fn run<T>(number: usize, work: impl AsyncFnOnce(&OlmMachine) -> Result<T>) -> Result<T> {
    let slot = slot(number)?;
    let machine = lock(&slot);
    machine.as_ref().ok_or_else(|| closed(number))?.run(work)
}

/// Returns when no handle on the store is left.
pub fn close(number: usize) -> Result<()> {
    let slot = slot(number)?;
    let mut machine = lock(&slot);
    machine.take().ok_or_else(|| closed(number))?.close();
    Ok(())
}

pub fn close_all() {
    for slot in lock(&MACHINES).drain(..) {
        if let Some(machine) = lock(&slot).take() {
            machine.close();
        }
    }
}

fn slot(number: usize) -> Result<Slot> {
    lock(&MACHINES).get(number).cloned().ok_or_else(|| format!("there is no machine {number}").into())
}

fn closed(number: usize) -> String {
    format!("machine {number} is closed")
}

/// A panic becomes an error answer. The machine stays usable, so the poison is ignored.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
