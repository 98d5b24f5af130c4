//! x
#[test]
fn x() {
    assert_eq!(omega::broker::dead_queue("a").name, "a.dead");
}
