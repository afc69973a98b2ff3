//! Embeds the departments' mappings again when a file is added or removed: `include_dir` itself notices edits only.
fn main() {
    println!("cargo:rerun-if-changed=../departments");
}
