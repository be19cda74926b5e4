//! Replays the committed fuzz corpus through the functions that are fuzzed.

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::path::Path;

#[test]
fn frames_of_the_corpus_do_no_harm() {
    replay("frame", targets::frame);
}

#[test]
fn preambles_of_the_corpus_do_no_harm() {
    replay("preamble", targets::preamble);
}

#[test]
fn messages_of_the_corpus_do_no_harm() {
    replay("hello", targets::hello);
}

#[test]
fn tokens_of_the_corpus_do_no_harm() {
    replay("token", targets::token);
}

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = folder.read_dir().expect("the corpus is committed");
    let files: Vec<_> = entries.map(|entry| entry.expect("its folder can be listed").path()).collect();
    assert!(!files.is_empty(), "the corpus of {target} is missing");
    for file in files {
        run(&std::fs::read(&file).expect("its files can be read"));
    }
}
