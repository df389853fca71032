use super::*;

const TWO: &str = "\
goroutine 7 [sync.Mutex.Lock, 5 minutes]:
internal/sync.runtime_SemacquireMutex(0x0?, 0x0?, 0x0?)
\truntime/sema.go:95 +0x25
internal/sync.(*Mutex).lockSlow(0xc0001)
\tinternal/sync/mutex.go:149 +0x15d
sync.(*Mutex).Lock(...)
\tsync/mutex.go:46
shop/cart.(*Cart).Add(0xc0001, {0x1, 0x2})
\tshop/cart/cart.go:10 +0x44
created by shop/cart.Start in goroutine 1
\tshop/cart/cart.go:3 +0x1

goroutine 9 [sync.Mutex.Lock]:
internal/sync.runtime_SemacquireMutex(0x1?, 0x0?, 0x0?)
\truntime/sema.go:95 +0x25
internal/sync.(*Mutex).lockSlow(0xc0001)
\tinternal/sync/mutex.go:149 +0x15d
sync.(*Mutex).Lock(...)
\tsync/mutex.go:46
shop/cart.(*Cart).Add(0xc0002, {0x1, 0x3})
\tshop/cart/cart.go:10 +0x44
created by shop/cart.Start in goroutine 5
\tshop/cart/cart.go:3 +0x1
";

#[test]
fn goroutines_that_differ_only_in_arguments_and_creators_id_are_one_group() {
    let (dump, notes) = read_text(TWO.as_bytes());
    assert_eq!((dump.read, dump.groups.len()), (2, 1));
    let group = &dump.groups[0];
    assert_eq!(group.state, WaitState::Lock);
    assert_eq!((group.long_waits, group.longest_minutes), (1, 5));
    assert_eq!(group.main_lock(), Some((0xc0001, 2)));
    assert_eq!(
        group.stack.culprit().unwrap().location(),
        "shop/cart/cart.go:10"
    );
    assert_eq!(
        group.created_by.as_ref().unwrap().function,
        "shop/cart.Start"
    );
    assert_eq!(notes, []);
}

#[test]
fn labels_after_the_state_do_not_lose_the_goroutine() {
    let text = "goroutine 19 [sleep] {endpoint: \"/a b\", k: v}:\ntime.Sleep(0x1)\n\truntime/time.go:1 +0x1\n";
    let (dump, _) = read_text(text.as_bytes());
    assert_eq!((dump.read, &dump.groups[0].state), (1, &WaitState::Sleep));
}

#[test]
fn a_crash_header_with_machine_words_is_read() {
    let text = "goroutine 1 gp=0xc000002380 m=0 mp=0x5a [running, locked to thread]:\nmain.f()\n\t/a/b.go:3\n";
    let (dump, _) = read_text(text.as_bytes());
    assert_eq!(dump.groups[0].state, WaitState::Running);
    assert_eq!(dump.groups[0].stack.0[0].location(), "/a/b.go:3");
}

#[test]
fn old_logs_with_spaces_and_counted_headers_are_read() {
    let text = "48 goroutines [semacquire, 4 minutes]:\nsync.runtime_Semacquire(0xc2)\n    /usr/sema.goc:199 +0x30\nsync.(*RWMutex).RLock(0xc2)\n    /usr/rwmutex.go:36 +0x5e\nmain.(*Model).Request(0xc2, ...)\n    /x/model.go:316 +0x86\n";
    let (dump, _) = read_text(text.as_bytes());
    let group = &dump.groups[0];
    assert_eq!((group.count, group.long_waits), (48, 48));
    assert_eq!(group.state, WaitState::Lock);
    assert_eq!(
        group.stack.culprit().unwrap().function,
        "main.(*Model).Request"
    );
}

#[test]
fn windows_line_ends_are_no_part_of_a_name() {
    let (dump, _) = read_text(TWO.replace('\n', "\r\n").as_bytes());
    assert_eq!(dump.groups.len(), 1);
    assert_eq!(
        dump.groups[0].created_by.as_ref().unwrap().function,
        "shop/cart.Start"
    );
}

#[test]
fn a_stream_in_small_pieces_reads_like_the_whole() {
    struct Drip<'a>(&'a [u8]);
    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let take = self.0.len().min(buffer.len()).min(7);
            buffer[..take].copy_from_slice(&self.0[..take]);
            self.0 = &self.0[take..];
            Ok(take)
        }
    }
    let mut reader = DumpReader::default();
    reader.read_from(Drip(TWO.as_bytes())).unwrap();
    let (dump, notes) = reader.finish();
    assert_eq!((dump.read, dump.groups.len(), notes.len()), (2, 1, 0));
}

#[test]
fn a_cut_dump_keeps_what_it_has_and_says_so() {
    let (dump, notes) = read_text(&TWO.as_bytes()[..TWO.len() - 30]);
    assert_eq!(dump.read, 2);
    assert_eq!(notes[0].text, "ends in the middle of a line");
}

#[test]
fn bytes_that_are_no_dump_give_a_note_and_no_goroutine() {
    let (dump, notes) = read_text(&[0xff, 0, 1, b'\n', 0x80]);
    assert_eq!(dump.read, 0);
    assert!(notes.iter().any(|note| note.text == "holds no goroutine"));
}
