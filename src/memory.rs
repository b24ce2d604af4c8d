//! Wipes all memory that this package frees.
//!
//! What this package holds of a secret, it wipes itself. The SDK does not: to read a recovery key, it makes
//! copies of the text and frees them as they are. JSON and its decoders do the same with private keys.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    hint::black_box,
};

pub struct Wiping;

// SAFETY: the system's allocator does the work. Before memory goes back to it, nobody else uses that memory.
// `realloc` is the trait's own: it allocates, copies, and frees with `dealloc`.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Wiping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe {
            memory.write_bytes(0, layout.size());
            // Otherwise the compiler may leave out what is written to memory that is about to be freed.
            black_box(memory);
            System.dealloc(memory, layout);
        }
    }
}
