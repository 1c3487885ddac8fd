//! Any bytes are a layer or a damaged one. What was read can be kept as a table and read again.
#![no_main]

use std::io::Read as _;

use libfuzzer_sys::fuzz_target;
use plimsoll::layer::{decode, decompress, encode, is_archive, scan_layer};

/// A few bytes can unpack to very many.
const LIMIT: u64 = 1 << 22;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(changes) = scan_layer(bytes) {
        assert_eq!(decode(&encode(&changes)).expect("what was encoded"), changes);
    }
    if let Ok(plain) = decompress(bytes) {
        let _ = scan_layer(plain.take(LIMIT));
    }
    let _ = is_archive(bytes);
    let _ = decode(bytes);
});
