//! Small text files which are replaced as a whole: offsets per partition.
//!
//! Format: a version line (`1`), a count line, `topic partition number…` per line, and a line with the CRC-32C of all
//! lines before it, which reveals changed digits. Kafka's, version 0, has no last line.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::Path;

use crate::env::storage::{OpenMode, Storage};
use crate::error::{Error, Result};
use crate::ids::TopicPartition;

pub(crate) const RECOVERY_POINT_FILE: &str = "recovery-point-offset-checkpoint";
pub(crate) const LOG_START_FILE: &str = "log-start-offset-checkpoint";
pub(crate) const HIGH_WATERMARK_FILE: &str = "replication-offset-checkpoint";
pub(crate) const CLEANER_FILE: &str = "cleaner-offset-checkpoint";
pub(crate) const CLEAN_SHUTDOWN_FILE: &str = "clean-shutdown";

const VERSION: &str = "1";
const UNCHECKED_VERSION: &str = "0";
const CRC_PREFIX: &str = "crc32c ";

/// `N` numbers per partition.
pub(crate) type Checkpoint<const N: usize> = BTreeMap<TopicPartition, [i64; N]>;

/// Replaces a checkpoint file. Durable when it returns.
///
/// # Errors
/// [`Error::Io`]; the old file is intact then.
pub(crate) fn write<const N: usize>(
    storage: &dyn Storage,
    path: &Path,
    checkpoint: &Checkpoint<N>,
) -> Result<()> {
    let mut text = format!("{VERSION}\n{}\n", checkpoint.len());
    for (tp, numbers) in checkpoint {
        write!(text, "{} {}", tp.topic, tp.partition).expect("strings take everything");
        for number in numbers {
            write!(text, " {number}").expect("strings take everything");
        }
        text.push('\n');
    }
    let crc = crc32c::crc32c(text.as_bytes());
    writeln!(text, "{CRC_PREFIX}{crc:08x}").expect("strings take everything");
    write_atomically(storage, path, text.as_bytes())
}

/// The lines that the checksum at the end of `text` covers; `None` if it does not match.
fn checked(text: &str) -> Option<&str> {
    let (lines, crc) = text.split_at_checked(text.rfind(CRC_PREFIX)?)?;
    let crc = crc.strip_prefix(CRC_PREFIX)?.strip_suffix('\n')?;
    (u32::from_str_radix(crc, 16).ok()? == crc32c::crc32c(lines.as_bytes())).then_some(lines)
}

/// Reads a checkpoint file; empty if there is none.
///
/// # Errors
/// [`Error::CorruptFile`] naming the line, [`Error::Io`].
pub(crate) fn read<const N: usize>(storage: &dyn Storage, path: &Path) -> Result<Checkpoint<N>> {
    let bytes = match storage.read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Checkpoint::new()),
        Err(error) => return Err(Error::io("read", path, error)),
    };
    let corrupt = |reason: String| Error::CorruptFile { path: path.to_owned(), reason };
    let text = std::str::from_utf8(&bytes).map_err(|error| corrupt(error.to_string()))?;
    let text = match text.lines().next() {
        Some(VERSION) => checked(text).ok_or_else(|| corrupt("the checksum does not match".to_owned()))?,
        Some(UNCHECKED_VERSION) => text,
        _ => return Err(corrupt("line 1 is not a known version".to_owned())),
    };
    let mut lines = text.lines().skip(1);
    let count: usize = lines
        .next()
        .and_then(|line| line.parse().ok())
        .ok_or_else(|| corrupt("line 2 is not a count".to_owned()))?;
    let mut checkpoint = Checkpoint::new();
    for (index, line) in lines.enumerate() {
        let (tp, numbers) =
            parse_line(line).ok_or_else(|| corrupt(format!("line {} is malformed", index + 3)))?;
        checkpoint.insert(tp, numbers);
    }
    if checkpoint.len() != count {
        return Err(corrupt(format!("{} lines, {count} announced", checkpoint.len())));
    }
    Ok(checkpoint)
}

fn parse_line<const N: usize>(line: &str) -> Option<(TopicPartition, [i64; N])> {
    let mut fields = line.split(' ');
    let tp = TopicPartition::new(fields.next()?, fields.next()?.parse().ok()?);
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = fields.next()?.parse().ok()?;
    }
    fields.next().is_none().then_some((tp, numbers))
}

/// Replaces a file by another so that a crash leaves either the old or the new one.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn write_atomically(storage: &dyn Storage, path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension("tmp");
    let write = || {
        let file = storage.open(&temporary, OpenMode::Create)?;
        file.write_all_at(bytes, 0)?;
        file.sync_data()?;
        storage.rename(&temporary, path)?;
        storage.sync_dir(path.parent().unwrap_or(Path::new(".")))
    };
    write().map_err(|error| Error::io("replace", path, error))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Checkpoint, read, write};
    use crate::env::storage::Storage;
    use crate::env::storage::memory::MemoryStorage;
    use crate::ids::TopicPartition;

    #[test]
    fn checkpoints_read_back_and_damage_is_noticed() {
        let storage = MemoryStorage::new();
        let path = Path::new("/d/offsets");
        storage.create_dir_all(Path::new("/d")).expect("dir");
        assert!(read::<2>(&storage, path).expect("missing is empty").is_empty());
        let mut checkpoint = Checkpoint::new();
        checkpoint.insert(TopicPartition::new("a", 0), [1, -2]);
        checkpoint.insert(TopicPartition::new("b", 7), [i64::MAX, 0]);
        write(&storage, path, &checkpoint).expect("write");
        assert_eq!(read(&storage, path).expect("read"), checkpoint);
        assert!(read::<1>(&storage, path).is_err());
        storage.tamper(path, |bytes| bytes.truncate(bytes.len() - 8)).expect("tamper");
        assert!(read::<2>(&storage, path).is_err());
    }
}
