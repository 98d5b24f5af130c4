//! om
fn main() {}
