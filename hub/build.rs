//! Rebuilds the hub when a migration is added: the embedded folders are read by
//! a macro, which Cargo cannot see.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
