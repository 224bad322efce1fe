//! Files cut where nothing looks torn, lost files, and damage that no checksum covers.

use std::path::{Path, PathBuf};

use super::{Crash, DATA_DIR, Fixture, batch, log_file, manager_config, producer_batch, records};
use crate::env::storage::Storage;
use crate::env::storage::memory::MemoryStorage;
use crate::error::Error;
use crate::ids::Offset;
use crate::log::access::{Isolation, ReadRequest};
use crate::log::config::LogConfig;
use crate::log::segment_manifest::MANIFEST_FILE;
use crate::record::batch::BatchHeader;
use crate::record::control::MarkerKind;

/// Batches of `batches()` in a segment, three segments and one batch in the active one.
const VALUES: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 3 * u32::try_from(batch(&["a"]).len()).expect("small"),
        index_interval_bytes: 50,
        ..LogConfig::default()
    }
}

fn filled() -> Fixture {
    let fixture = Fixture::new(config());
    for value in VALUES {
        fixture.put(&[value]);
    }
    assert_eq!(fixture.log.segments().len(), 4);
    fixture
}

/// What a process finds after a clean stop, after a crash that had been checkpointed, and after another crash.
fn images(fixture: impl Fn() -> Fixture) -> [(&'static str, Fixture, MemoryStorage); 3] {
    let [stopped, flushed, crashed] = [(); 3].map(|()| fixture());
    stopped.manager.shutdown().expect("shutdown");
    flushed.manager.checkpoint().expect("checkpoint");
    [("stopped", stopped), ("flushed", flushed), ("crashed", crashed)].map(|(name, fixture)| {
        let storage = fixture.storage.after_crash(Crash::Power);
        (name, fixture, storage)
    })
}

fn open(fixture: &Fixture, storage: &MemoryStorage) -> Result<Fixture, Error> {
    let opened = Fixture::open(storage.clone(), fixture.clock.clone(), manager_config())?;
    opened.log.set_config(config());
    Ok(opened)
}

/// Positions of the batches in a file.
fn starts(storage: &MemoryStorage, path: &Path) -> Vec<usize> {
    let bytes = storage.read(path).expect("a file");
    let (mut starts, mut position) = (Vec::new(), 0);
    while position < bytes.len() {
        starts.push(position);
        position += BatchHeader::parse(&bytes[position..]).expect("a batch").size_bytes();
    }
    starts
}

fn names(error: &Error, wanted: &Path) -> bool {
    matches!(error, Error::CorruptLog { path, .. } if path == wanted)
}

#[test]
fn sealed_segments_cut_between_batches_are_refused() {
    for (name, fixture, image) in images(filled) {
        assert_eq!(open(&fixture, &image).expect("whole").values(), VALUES, "{name}");
        for base in [0, 3, 6] {
            for cut in starts(&image, &log_file(base, ".log")) {
                let storage = image.after_crash(Crash::Process);
                storage.tamper(&log_file(base, ".log"), |bytes| bytes.truncate(cut)).expect("tamper");
                let error = open(&fixture, &storage).err();
                let error = error.unwrap_or_else(|| panic!("{name}: segment {base} cut at {cut} is opened"));
                assert!(names(&error, &log_file(base, ".log")), "{name}: {error}");
            }
        }
    }
}

#[test]
fn lost_segments_are_refused() {
    for (name, fixture, image) in images(filled) {
        let storage = image.after_crash(Crash::Process);
        storage.remove_file(&log_file(3, ".log")).expect("there");
        assert!(open(&fixture, &storage).is_err(), "{name}");
    }
}

#[test]
fn without_a_note_nothing_is_checked() {
    for (name, fixture, image) in images(filled) {
        let storage = image.after_crash(Crash::Process);
        storage.remove_file(&Path::new(DATA_DIR).join("topic-0").join(MANIFEST_FILE)).expect("there");
        let opened = open(&fixture, &storage).expect("as older versions left it");
        assert_eq!(opened.values(), VALUES, "{name}");
        // The next segment is noted.
        opened.put(&["k"]);
        opened.put(&["l"]);
        opened.put(&["m"]);
        opened.manager.checkpoint().expect("checkpoint");
        let storage = opened.storage.after_crash(Crash::Power);
        storage.tamper(&log_file(9, ".log"), |bytes| bytes.truncate(0)).expect("tamper");
        assert!(open(&fixture, &storage).is_err(), "{name}");
    }
}

#[test]
fn an_operator_may_go_on_without_the_end_of_a_segment() {
    use crate::log::loader::CorruptionPolicy;
    use crate::log::manager::LogManagerConfig;
    let [(_, fixture, image), ..] = images(filled);
    let cut = starts(&image, &log_file(3, ".log"))[2];
    image.tamper(&log_file(3, ".log"), |bytes| bytes.truncate(cut)).expect("tamper");
    let config = LogManagerConfig { on_corruption: CorruptionPolicy::Truncate, ..manager_config() };
    let opened = Fixture::open(image, fixture.clock.clone(), config).expect("the operator decided so");
    assert_eq!(opened.values(), ["a", "b", "c", "d", "e", "g", "h", "i", "j"]);
}

/// Reads everything, until an error.
fn read_through(fixture: &Fixture) -> (Vec<(Offset, i32)>, Option<Error>) {
    let (mut offset, mut seen) = (0, Vec::new());
    loop {
        let request = ReadRequest {
            offset,
            bytes_max: 100,
            isolation: Isolation::ReadUncommitted,
            at_least_one_batch: true,
        };
        let data = match fixture.log.read(&request) {
            Ok(data) if data.bytes.is_empty() => return (seen, None),
            Ok(data) => data,
            Err(error) => return (seen, Some(error)),
        };
        for batch in crate::record::batch::BatchIter::new(data.bytes) {
            let batch = batch.expect("whole batches");
            seen.push((batch.base_offset(), batch.header().partition_leader_epoch));
            offset = batch.header().next_offset();
        }
    }
}

#[test]
fn offsets_and_leader_epochs_that_changed_are_never_served() {
    let [(_, fixture, stopped), (_, _, flushed), (_, _, crashed)] = images(filled);
    let right: Vec<(Offset, i32)> = (0..10).map(|offset| (offset, 0)).collect();
    for (image, base) in [(&stopped, 0), (&stopped, 3), (&stopped, 9), (&flushed, 3), (&crashed, 3)] {
        let path = log_file(base, ".log");
        for start in starts(image, &path) {
            for at in (start..start + 8).chain(start + 12..start + 16) {
                for bit in [0, 3, 7] {
                    let storage = image.after_crash(Crash::Process);
                    storage.tamper(&path, |bytes| bytes[at] ^= 1 << bit).expect("tamper");
                    let error = match open(&fixture, &storage) {
                        Err(error) => error,
                        Ok(opened) => {
                            let (seen, error) = read_through(&opened);
                            assert!(right.starts_with(&seen), "byte {at} of segment {base}: {seen:?}");
                            error.unwrap_or_else(|| panic!("byte {at} of segment {base} goes unnoticed"))
                        }
                    };
                    assert!(names(&error, &path), "byte {at} of segment {base}: {error}");
                }
            }
        }
    }
}

/// Transactions of which every other one is aborted, in several segments.
fn transactional() -> Fixture {
    let fixture = Fixture::new(LogConfig { segment_bytes: 400, ..config() });
    for turn in 0..12 {
        fixture.append(producer_batch(7, 0, turn, 1, true)).expect("append");
        let kind = if turn % 2 == 0 { MarkerKind::Abort } else { MarkerKind::Commit };
        fixture.end_txn(7, kind).expect("append");
        fixture.manager.flush();
    }
    fixture
}

#[test]
fn aborted_records_stay_hidden_whatever_becomes_of_the_transaction_index() {
    let index_files = |storage: &MemoryStorage| -> Vec<PathBuf> {
        let entries = storage.read_dir(&Path::new(DATA_DIR).join("topic-0")).expect("a directory");
        let indexes = entries.into_iter().filter(|entry| entry.name.ends_with(".txnindex"));
        indexes.map(|entry| Path::new(DATA_DIR).join("topic-0").join(entry.name)).collect()
    };
    for (name, fixture, image) in images(transactional) {
        let right = records(&open(&fixture, &image).expect("whole").log, Isolation::ReadCommitted);
        assert_eq!(right.len(), 6, "{name}");
        let files = index_files(&image);
        assert!(files.len() >= 2, "{name}: {files:?}");
        for path in files {
            let len = image.read(&path).expect("a file").len();
            for cut in (0..len).step_by(36).map(Some).chain([None]) {
                let storage = image.after_crash(Crash::Process);
                match cut {
                    Some(cut) => storage.tamper(&path, |bytes| bytes.truncate(cut)).expect("tamper"),
                    None => storage.remove_file(&path).expect("there"),
                }
                let opened = open(&fixture, &storage).expect("the index is built again");
                let seen = records(&opened.log, Isolation::ReadCommitted);
                assert_eq!(seen, right, "{name}: {} cut to {cut:?}", path.display());
            }
        }
    }
}
