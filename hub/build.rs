//! Rebuilds the hub when an embedded folder changes: the folders are read by
//! macros, which Cargo cannot see.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
    if has_files_inside() {
        println!("cargo:rerun-if-changed=../web/dist");
    }
}

/// Whether this build keeps the console's files in the program. A debug build
/// reads them when it runs, and need not be made again for them.
#[expect(clippy::disallowed_methods, reason = "Cargo tells a build script its profile by the environment alone")]
fn has_files_inside() -> bool {
    std::env::var("PROFILE").is_ok_and(|profile| profile == "release")
}
