use super::*;
use crate::error::ErrorKind;
use proptest::prelude::*;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// A disk that can be full.
#[derive(Debug, Default)]
pub struct Disk {
    pub room: Option<usize>,
}

impl Disk {
    pub fn write(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<usize> {
        let Some(room) = &mut self.room else { return file.write(bytes) };
        if *room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let n_written = file.write(&bytes[..bytes.len().min(*room)])?;
        *room -= n_written;
        Ok(n_written)
    }
}

fn log(folder: &Path, unit: Unit) -> OutputLog {
    OutputLog::at(folder.join("log"), "out", unit)
}

fn write(log: &OutputLog, texts: &[&str]) {
    let mut writer = LogWriter::with_segments(log, 1 << 20, 8).unwrap();
    for text in texts {
        writer.append(text.as_bytes()).unwrap();
    }
}

fn text(log: &OutputLog, extent: Extent) -> String {
    let piece = log.read(extent.start, extent.end - extent.start).unwrap();
    assert_eq!((piece.from, piece.next), (extent.start, extent.end));
    String::from_utf8(piece.bytes).unwrap()
}

#[test]
fn nothing_was_printed_yet() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(folder.path(), Unit::Chars);
    assert_eq!(log.extent().unwrap(), Extent { start: 0, end: 0 });
    assert_eq!(log.tail(None, 10, 0).unwrap(), Extent { start: 0, end: 0 });
    assert_eq!(log.read(7, 10).unwrap(), Piece { from: 7, bytes: Vec::new(), next: 7 });
    assert_eq!((log.dropped().unwrap(), log.writer(1).unwrap().position()), (0, 0));
    assert!(!folder.path().join("log").exists());
}

#[test]
fn files_of_others_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(folder.path(), Unit::Bytes);
    write(&log, &["abc"]);
    let names = ["out.5", "out.99999999999999999999", "out.0000000000000000000a", "err.00000000000000000009"];
    for name in names {
        fs::write(folder.path().join("log").join(name), "x").unwrap();
    }
    fs::create_dir(log.path(100)).unwrap();
    assert_eq!(log.extent().unwrap(), Extent { start: 0, end: 3 });
    assert_eq!(log.writer(1).unwrap().position(), 3);
}

#[test]
fn files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let log = log(folder.path(), Unit::Bytes);
    write(&log, &["abc"]);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&log.folder), mode(&log.path(0))), (0o700, 0o600));
}

#[test]
fn the_end_of_a_crash_is_text_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(folder.path(), Unit::Chars);
    write(&log, &["é"]);
    for (end, whole) in [(&b"\xe2\x82"[..], "é"), (b"\xff", "é\u{fffd}"), (b"\xf0\x9f\x92", "é\u{fffd}")] {
        let mut file = File::options().append(true).open(log.path(0)).unwrap();
        file.write_all(end).unwrap();
        let n_chars = whole.chars().count() as u64;
        let extent = Extent { start: 0, end: n_chars };
        assert_eq!((log.extent().unwrap(), text(&log, extent)), (extent, whole.into()));
        assert_eq!(log.writer(100).unwrap().position(), n_chars);
    }
    write(&log, &["€"]);
    assert_eq!(text(&log, log.extent().unwrap()), "é\u{fffd}€");
}

#[test]
fn what_is_no_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = log(folder.path(), Unit::Chars).writer(100).unwrap();
    assert_eq!(writer.append(b"a\xe2\x82").unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(writer.position(), 0);
}

#[test]
fn a_loss_at_the_end_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(folder.path(), Unit::Chars);
    let mut writer = log.writer(100).unwrap();
    writer.disk.room = Some(4);
    assert_eq!(writer.append("ab€".as_bytes()).unwrap_err().kind(), ErrorKind::DiskFull);
    for _ in 0..10 {
        assert!(writer.append(b"xx").is_err());
    }
    assert_eq!((log.extent().unwrap().end, log.positions().unwrap().len()), (23, 2));
    assert_eq!(log.read(0, 10).unwrap(), Piece { from: 0, bytes: b"ab".into(), next: 2 });
    assert_eq!(log.read(2, 10).unwrap(), Piece { from: 23, bytes: Vec::new(), next: 23 });
    drop(writer);
    let mut writer = log.writer(100).unwrap();
    writer.append(b"on").unwrap();
    assert_eq!(log.read(2, 10).unwrap(), Piece { from: 23, bytes: b"on".into(), next: 25 });
    assert_eq!(log.dropped().unwrap(), 21);
}

#[test]
fn a_segment_that_cannot_be_made_is_made_later() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(folder.path(), Unit::Bytes);
    let mut writer = LogWriter::with_segments(&log, 100, 4).unwrap();
    writer.append(b"abcd").unwrap();
    fs::create_dir(log.path(4)).unwrap();
    assert_eq!(writer.append(b"ef").unwrap_err().kind(), ErrorKind::Io);
    writer.append(b"gh").unwrap();
    assert_eq!(log.read(4, 10).unwrap(), Piece { from: 6, bytes: b"gh".into(), next: 8 });
}

#[test]
fn the_last_lines_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(folder.path(), Unit::Bytes);
    write(&log, &["one\ntwo\n", "a third line that is long\n", "\nlast"]);
    let tail = |lines, max_bytes, not_before| text(&log, log.tail(lines, max_bytes, not_before).unwrap());
    assert_eq!(tail(Some(0), 100, 0), "");
    assert_eq!(tail(Some(1), 100, 0), "last");
    assert_eq!(tail(Some(2), 100, 0), "\nlast");
    assert_eq!(tail(Some(3), 100, 0), "a third line that is long\n\nlast");
    assert_eq!(tail(Some(4), 100, 0), "two\na third line that is long\n\nlast");
    assert_eq!(tail(Some(99), 100, 0), "one\ntwo\na third line that is long\n\nlast");
    assert_eq!(tail(None, 100, 4), "two\na third line that is long\n\nlast");
    assert_eq!(tail(Some(4), 12, 0), "is long\n\nlast".get(1..).unwrap());
    assert_eq!(tail(Some(2), 100, 36), "ast");
    assert_eq!(log.tail(Some(2), 100, 99).unwrap(), Extent { start: 39, end: 39 });
    write(&log, &["\n"]);
    assert_eq!(tail(Some(1), 100, 0), "last\n");
}

#[test]
fn a_tail_does_not_begin_in_a_character() {
    let folder = tempfile::tempdir().unwrap();
    for unit in [Unit::Bytes, Unit::Chars] {
        let log = OutputLog::at(folder.path().join(format!("{unit:?}")), "out", unit);
        write(&log, &["€€€"]);
        assert_eq!(text(&log, log.tail(None, 4, 0).unwrap()), "€");
    }
}

#[test]
fn a_reader_keeps_up_with_a_writer_that_drops() {
    let folder = tempfile::tempdir().unwrap();
    let log = log(folder.path(), Unit::Chars);
    let mut writer = LogWriter::with_segments(&log, 4096, 256).unwrap();
    let writing = std::thread::spawn(move || {
        for number in 0..20_000_u64 {
            // Seven characters of three bytes each time, so that each position tells what is there.
            let digit = char::from_u32(0x4e00 + u32::try_from(number % 1000).unwrap()).unwrap();
            writer.append(digit.to_string().repeat(7).as_bytes()).unwrap();
        }
    });
    let mut next = 0;
    while next < 140_000 {
        let piece = log.read(next, 100).unwrap();
        let chars = std::str::from_utf8(&piece.bytes).unwrap().chars();
        for (position, char) in (piece.from..piece.next).zip(chars) {
            assert_eq!(u64::from(u32::from(char)), 0x4e00 + position / 7 % 1000);
        }
        next = piece.next;
    }
    writing.join().unwrap();
}

#[derive(Debug, Clone)]
enum Step {
    Append(String),
    /// On a disk with room for so many bytes.
    AppendTo(String, usize),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let text = "[a\n é€💡]{0,40}";
    let step = prop_oneof![
        6 => text.prop_map(Step::Append),
        2 => (text, 0..60_usize).prop_map(|(text, room)| Step::AppendTo(text, room)),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 0..40)
}

const KEEP: u64 = 64;
const SEGMENT: u64 = 12;

/// Everything that was ever appended, by position; nothing where it was lost.
struct Model {
    unit: Unit,
    units: Vec<Option<Vec<u8>>>,
    n_losses: u64,
}

impl Model {
    fn append(&mut self, text: &str, room: usize) {
        let units: Vec<&[u8]> = match self.unit {
            Unit::Bytes => text.as_bytes().chunks(1).collect(),
            Unit::Chars => text.split("").filter(|c| !c.is_empty()).map(str::as_bytes).collect(),
        };
        let mut n_bytes = 0;
        for unit in units {
            n_bytes += unit.len();
            self.units.push((n_bytes <= room).then(|| unit.to_vec()));
        }
        self.n_losses += u64::from(n_bytes > room);
    }

    /// The position of the first unit that is there, at or after one, and of the first that is not, after that.
    fn stretch(&self, from: u64, kept: u64) -> (u64, u64) {
        let end = self.units.len() as u64;
        let is_there = |position: &u64| self.units[usize::try_from(*position).unwrap()].is_some();
        let first = (from.max(kept)..end).find(is_there).unwrap_or(end.max(from));
        (first, (first..end).find(|position| !is_there(position)).unwrap_or(end.max(from)))
    }

    fn bytes(&self, from: u64, to: u64) -> Vec<u8> {
        let range = usize::try_from(from).unwrap()..usize::try_from(to).unwrap();
        self.units[range].iter().flatten().flatten().copied().collect()
    }

    fn check_bounds(&self, log: &OutputLog) {
        let end = self.units.len() as u64;
        let extent = log.extent().unwrap();
        assert!(extent.end == end && extent.start <= end);
        let on_disk: u64 = self.bytes(extent.start, end).len() as u64;
        let all: u64 = self.bytes(0, end).len() as u64;
        // Of each character that was written in part, a piece may be kept that does not count.
        assert!(on_disk + 3 * self.n_losses >= all.min(KEEP), "{on_disk} of {all}");
        assert!(on_disk <= KEEP + SEGMENT, "{on_disk}");
        assert_eq!(
            log.dropped().unwrap(),
            end - self.units[usize::try_from(extent.start).unwrap()..].iter().flatten().count() as u64
        );
    }

    fn check_reads(&self, log: &OutputLog) {
        let (end, extent) = (self.units.len() as u64, log.extent().unwrap());
        for from in 0..end + 2 {
            for max_units in [1, 5, 1000] {
                let piece = log.read(from, max_units).unwrap();
                let (first, last) = self.stretch(from, extent.start);
                assert_eq!(
                    (piece.from, piece.next),
                    (first, last.min(first + max_units)),
                    "{from} {max_units}"
                );
                let bytes = if from > end { Vec::new() } else { self.bytes(piece.from, piece.next) };
                assert_eq!(piece.bytes, bytes);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_is_lost_or_doubled_or_moved(steps in steps(), is_text in any::<bool>()) {
        let unit = if is_text { Unit::Chars } else { Unit::Bytes };
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path(), unit);
        let open = || LogWriter::with_segments(&log, KEEP, SEGMENT).unwrap();
        let mut model = Model { unit, units: Vec::new(), n_losses: 0 };
        let mut writer = open();
        for step in steps {
            match step {
                Step::Append(text) => {
                    writer.append(text.as_bytes()).unwrap();
                    model.append(&text, usize::MAX);
                }
                Step::AppendTo(text, room) => {
                    writer.disk.room = Some(room);
                    assert_eq!(writer.append(text.as_bytes()).is_err(), text.len() > room);
                    writer.disk.room = None;
                    model.append(&text, room);
                }
                Step::Reopen => writer = open(),
            }
            assert_eq!(writer.position(), model.units.len() as u64);
            model.check_bounds(&log);
        }
        model.check_reads(&log);
    }

    #[test]
    fn a_tail_is_what_the_end_of_the_text_is(
        texts in proptest::collection::vec("[a\n€]{0,20}", 0..10),
        lines in 0..12_u64,
        not_before in 0..30_u64,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path(), Unit::Chars);
        write(&log, &texts.iter().map(String::as_str).collect::<Vec<_>>());
        let chars: Vec<char> = texts.concat().chars().collect();
        let whole: String = chars.iter().skip(usize::try_from(not_before).unwrap()).collect();
        let all: Vec<&str> = whole.split_inclusive('\n').collect();
        let first = all.len().saturating_sub(usize::try_from(lines).unwrap());
        let tail = log.tail(Some(lines), u64::MAX, not_before).unwrap();
        prop_assert_eq!(text(&log, tail), all[first..].concat());
    }
}
