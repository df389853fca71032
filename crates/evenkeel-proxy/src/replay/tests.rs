use super::*;

#[test]
fn memory_is_taken_whole_or_not_at_all() {
    let memory = ReplayMemory::new(100, 250);
    assert!(memory.reserve(200));
    assert!(!memory.reserve(51));
    assert!(memory.reserve(50));
    memory.release(200);
    assert_eq!(memory.used(), 50);
    assert!(!memory.reserve(usize::MAX), "no overflow either");
}

#[test]
fn two_takers_never_hold_more_than_there_is() {
    let memory = ReplayMemory::new(1, 3);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    if memory.reserve(1) {
                        assert!(memory.used() <= 3);
                        memory.release(1);
                    }
                }
            });
        }
    });
    assert_eq!(memory.used(), 0);
}
