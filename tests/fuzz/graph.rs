//! Fuzz target: no stored graph, whatever it holds, may make the engine panic or read out of bounds.
#![no_main]

#[path = "case.rs"]
mod case;

use case::Numbers;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = serde_json::from_slice::<Value>(bytes) {
        case::run(&value);
    }
});

fuzz_mutator!(|bytes: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut numbers = Numbers(seed.into());
    let Ok(mut value) = serde_json::from_slice::<Value>(&bytes[..size]) else {
        return libfuzzer_sys::fuzzer_mutate(bytes, size, max_size);
    };
    case::mutate(&mut value, &mut numbers);
    let text = value.to_string();
    match text.len() <= max_size {
        true => {
            bytes[..text.len()].copy_from_slice(text.as_bytes());
            text.len()
        }
        false => size,
    }
});
