//! Bytes for `workspace_tests::formats::read("npy", ..)`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    workspace_tests::formats::read("npy", bytes);
});
