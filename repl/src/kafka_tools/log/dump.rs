//! `weir log dump`: segments, batches, records and indexes of a log on disk, and whether they are whole.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::{Args, Subcommand};
use serde_json::json;
use walkdir::WalkDir;
use weir_broker::ids::Offset;
use weir_broker::record::batch::{BatchHeader, HEADER_BYTES, RecordBatch};
use weir_broker::record::compression::DecompressBuf;
use weir_broker::record::control::EndTxnMarker;

use crate::kafka_tools::error::{Result, ToolError};
use crate::kafka_tools::format::{Consumed, RecordFormat};
use crate::kafka_tools::log::index::{
    OFFSET_ENTRY_BYTES, TIME_ENTRY_BYTES, TXN_ENTRY_BYTES, offset_entries, time_entries, txn_entries,
};
use crate::kafka_tools::output::{ListForm, OutputArgs};
use crate::render::line;

/// Bytes of an index file that is read whole.
const INDEX_BYTES_MAX: u64 = 256 << 20;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir log dump weir-data/broker/log/clicks-0            the batches of a partition
  weir log dump 00000000000000000000.log --records       with their records
  weir log dump weir-data/broker/log --verify            every checksum, offset and index entry of all partitions

Exit code 1 if --verify finds damage. Stop the node first: the end of a log being written looks torn.")]
pub struct LogArgs {
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(subcommand)]
    pub command: LogCommand,
}

#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Show the files of a log, or check them
    Dump(DumpArgs),
}

#[derive(Debug, Args)]
pub struct DumpArgs {
    /// Folders of partitions (or above them), .log files, index files
    #[arg(required_unless_present = "files")]
    paths: Vec<PathBuf>,
    #[arg(long, hide = true, value_delimiter = ',')]
    files: Vec<PathBuf>,
    /// Check every checksum, offset and index entry; show only what is wrong
    #[arg(long)]
    verify: bool,
    /// Records, too
    #[arg(long, short = 'r', visible_alias = "print-data-log", conflicts_with = "verify")]
    records: bool,
}

/// One place that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub path: PathBuf,
    /// Position in the file.
    pub position: u64,
    pub message: String,
}

/// Parts of a batch that its indexes must agree with.
#[derive(Clone, Copy, Debug)]
struct BatchPlace {
    position: u64,
    base_offset: Offset,
    max_timestamp: i64,
}

/// Findings in a partition.
#[derive(Debug, Default)]
struct Totals {
    segments: u64,
    batches: u64,
    records: u64,
    index_entries: u64,
    damage: Vec<Damage>,
}

pub fn run(args: &LogArgs) -> Result<()> {
    let LogCommand::Dump(dump) = &args.command;
    let mut totals = Totals::default();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut walk = Walk { dump, form: args.output.form(), totals: &mut totals, out: &mut out };
    for path in dump.paths.iter().chain(&dump.files) {
        walk.path(path)?;
    }
    // A closed pipe is no reason to fail.
    let _ = out.flush();
    drop(out);
    for damage in &totals.damage {
        line::err(format_args!(
            "Damage: {}: at byte {}: {}",
            damage.path.display(),
            damage.position,
            damage.message
        ));
    }
    if dump.verify {
        line::out(format_args!(
            "{} segment(s), {} batch(es), {} record(s), {} index entries checked",
            totals.segments, totals.batches, totals.records, totals.index_entries
        ));
    }
    match totals.damage.len() {
        0 => Ok(()),
        count => Err(ToolError::Damaged { count }),
    }
}

struct Walk<'w, W> {
    dump: &'w DumpArgs,
    form: ListForm,
    totals: &'w mut Totals,
    out: &'w mut W,
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ToolError {
    let path = path.display().to_string();
    move |source| ToolError::Io { action, path, source }
}

/// The offset in a file's name: `00000000000000000042.log`.
fn base_of(path: &Path) -> Option<Offset> {
    let stem = path.file_stem()?.to_str()?;
    (stem.len() == 20 && stem.bytes().all(|b| b.is_ascii_digit())).then(|| stem.parse().ok())?
}

fn has_suffix(path: &Path, suffix: &str) -> bool {
    path.extension().is_some_and(|extension| extension == suffix)
}

impl<W: Write> Walk<'_, W> {
    fn path(&mut self, path: &Path) -> Result<()> {
        let kind = fs::metadata(path).map_err(io_error("read", path))?;
        if kind.is_file() {
            return self.file(path);
        }
        let mut by_folder: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
        for entry in WalkDir::new(path).sort_by_file_name() {
            let entry = entry.map_err(|error| ToolError::Input {
                place: path.display().to_string(),
                message: error.to_string(),
            })?;
            let file = entry.into_path();
            if has_suffix(&file, "log") && base_of(&file).is_some() {
                by_folder.entry(file.parent().unwrap_or(path).to_path_buf()).or_default().push(file);
            }
        }
        if by_folder.is_empty() {
            let message = "there are no segments (00000000000000000000.log)".to_owned();
            return Err(ToolError::Input { place: path.display().to_string(), message });
        }
        for segments in by_folder.into_values() {
            let mut expected = None;
            for segment in segments {
                expected = self.segment(&segment, expected)?.or(expected);
                for suffix in ["index", "timeindex", "txnindex"] {
                    let index = segment.with_extension(suffix);
                    if !self.dump.verify && index.exists() {
                        self.index(&index, &[])?;
                    }
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<()> {
        if has_suffix(path, "log") {
            return self.segment(path, None).map(|_| ());
        }
        if ["index", "timeindex", "txnindex"].iter().any(|suffix| has_suffix(path, suffix)) {
            let segment = path.with_extension("log");
            let batches =
                if self.dump.verify && segment.exists() { self.places(&segment)? } else { Vec::new() };
            return self.index(path, &batches);
        }
        let message = "it is neither a .log nor an .index, .timeindex or .txnindex file".to_owned();
        Err(ToolError::Input { place: path.display().to_string(), message })
    }

    fn damage(&mut self, path: &Path, position: u64, message: String) {
        self.totals.damage.push(Damage { path: path.to_path_buf(), position, message });
    }

    /// Where the batches of a segment are, without showing them.
    fn places(&mut self, path: &Path) -> Result<Vec<BatchPlace>> {
        let mut sink = Totals::default();
        let mut walk = Walk { dump: self.dump, form: self.form, totals: &mut sink, out: &mut io::sink() };
        walk.batches(path, base_of(path).unwrap_or(0)).map(|(places, _)| places)
    }

    /// A segment and, to be checked, its indexes. `expected` is the offset after the segment before. Gives the next.
    fn segment(&mut self, path: &Path, expected: Option<Offset>) -> Result<Option<Offset>> {
        self.totals.segments += 1;
        let base = base_of(path).unwrap_or(0);
        if !self.dump.verify {
            self.line(
                &format!("{}", path.display()),
                &json!({"file": path.display().to_string(), "base_offset": base}),
            );
        }
        if let Some(expected) = expected.filter(|expected| *expected > base) {
            let message =
                format!("the segment begins at offset {base}, the one before ends with {}", expected - 1);
            self.damage(path, 0, message);
        }
        let (places, next) = self.batches(path, base)?;
        if self.dump.verify {
            for suffix in ["index", "timeindex", "txnindex"] {
                let index = path.with_extension(suffix);
                if index.exists() {
                    self.index(&index, &places)?;
                }
            }
        }
        Ok(next)
    }

    /// Reads batch after batch. After damage nothing of the segment can be trusted, so reading ends there.
    fn batches(&mut self, path: &Path, base: Offset) -> Result<(Vec<BatchPlace>, Option<Offset>)> {
        let mut file = io::BufReader::new(File::open(path).map_err(io_error("read", path))?);
        let length = file.get_ref().metadata().map_err(io_error("read", path))?.len();
        let mut places = Vec::new();
        let mut position = 0_u64;
        let mut next = base;
        let mut scratch = DecompressBuf::default();
        while position < length {
            let left = length - position;
            let batch = match read_batch(&mut file, left).map_err(io_error("read", path))? {
                Ok(batch) => batch,
                Err(message) => {
                    self.damage(path, position, message);
                    break;
                }
            };
            let header = *batch.header();
            if header.base_offset < next {
                let message =
                    format!("the batch begins at offset {}, {next} is the least", header.base_offset);
                self.damage(path, position, message);
                break;
            }
            if header.last_offset().saturating_sub(base) > i64::from(u32::MAX) {
                let message = format!("offset {} is too far from the segment's, {base}", header.base_offset);
                self.damage(path, position, message);
                break;
            }
            if let Err(message) = self.show_batch(path, position, &batch, &mut scratch) {
                self.damage(path, position, message);
                break;
            }
            self.totals.batches += 1;
            self.totals.records += u64::try_from(header.records_count).unwrap_or(0);
            places.push(BatchPlace {
                position,
                base_offset: header.base_offset,
                max_timestamp: header.max_timestamp,
            });
            next = header.next_offset();
            position += header.size_bytes() as u64;
        }
        Ok((places, Some(next)))
    }

    /// Shows a batch and reads its records. Errors: a record that cannot be read.
    fn show_batch(
        &mut self,
        path: &Path,
        position: u64,
        batch: &RecordBatch,
        scratch: &mut DecompressBuf,
    ) -> Result<(), String> {
        let header = batch.header();
        let shown = crate::render::error::chain;
        if !self.dump.verify {
            let codec = header.compression().map(|c| c.name()).unwrap_or("?");
            let marker = if header.is_control() {
                EndTxnMarker::parse(batch).map_err(|e| shown(&e))?.map(|marker| format!("{:?}", marker.kind))
            } else {
                None
            };
            self.line(
                &batch_text(position, header, codec, marker.as_deref()),
                &json!({
                    "position": position, "base_offset": header.base_offset, "last_offset": header.last_offset(),
                    "records": header.records_count, "bytes": header.size_bytes(), "crc": header.crc,
                    "codec": codec, "base_timestamp": header.base_timestamp, "max_timestamp": header.max_timestamp,
                    "leader_epoch": header.partition_leader_epoch, "producer_id": header.producer_id.0,
                    "producer_epoch": header.producer_epoch.0, "base_sequence": header.base_sequence,
                    "transactional": header.is_transactional(), "control": header.is_control(), "marker": marker,
                }),
            );
        }
        let topic = path.parent().and_then(Path::file_name).map(|n| n.to_string_lossy().into_owned());
        let topic = topic.unwrap_or_default();
        let (topic, partition) = topic.rsplit_once('-').unwrap_or((&topic, "0"));
        let partition = partition.parse().unwrap_or(0);
        let timestamp_type = header.timestamp_type();
        for record in batch.records(scratch).map_err(|e| shown(&e))? {
            let record = record.map_err(|e| shown(&e))?;
            if self.dump.records {
                let consumed = Consumed { topic, partition, broker: None, timestamp_type, record: &record };
                let _ = self.out.write_all(b"    ");
                let _ = RecordFormat::Json.write(self.out, &consumed, b"");
            }
        }
        Ok(())
    }

    /// An index. `batches` are those of its segment; none are needed to show it.
    fn index(&mut self, path: &Path, batches: &[BatchPlace]) -> Result<()> {
        let length = fs::metadata(path).map_err(io_error("read", path))?.len();
        if length > INDEX_BYTES_MAX {
            self.damage(path, 0, format!("the index has {length} bytes, {INDEX_BYTES_MAX} are the limit"));
            return Ok(());
        }
        let bytes = fs::read(path).map_err(io_error("read", path))?;
        let base = base_of(path).unwrap_or(0);
        let kind = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_owned();
        let entry_bytes = match kind.as_str() {
            "index" => OFFSET_ENTRY_BYTES,
            "timeindex" => TIME_ENTRY_BYTES,
            _ => TXN_ENTRY_BYTES,
        };
        if bytes.len() % entry_bytes != 0 {
            let position = (bytes.len() - bytes.len() % entry_bytes) as u64;
            self.damage(
                path,
                position,
                format!("the last entry is not whole: entries have {entry_bytes} bytes"),
            );
        }
        self.totals.index_entries += (bytes.len() / entry_bytes) as u64;
        if !self.dump.verify {
            self.line(&format!("{}", path.display()), &json!({"file": path.display().to_string()}));
        }
        match kind.as_str() {
            "index" => self.offset_index(path, &bytes, base, batches),
            "timeindex" => self.time_index(path, &bytes, base, batches),
            _ => self.txn_index(path, &bytes),
        }
        Ok(())
    }

    fn offset_index(&mut self, path: &Path, bytes: &[u8], base: Offset, batches: &[BatchPlace]) {
        let mut before: Option<(Offset, u64)> = None;
        for (at, entry) in offset_entries(bytes, base).enumerate() {
            let position = (at * OFFSET_ENTRY_BYTES) as u64;
            if !self.dump.verify {
                self.line(
                    &format!("  offset {} at {}", entry.offset, entry.position),
                    &json!({"offset": entry.offset, "position": entry.position}),
                );
                continue;
            }
            if before.is_some_and(|(offset, place)| entry.offset <= offset || entry.position <= place) {
                self.damage(path, position, format!("the entry of offset {} is out of order", entry.offset));
            }
            before = Some((entry.offset, entry.position));
            let found = batches.binary_search_by_key(&entry.position, |batch| batch.position);
            match found.map(|at| batches[at].base_offset) {
                Ok(offset) if offset == entry.offset => {}
                Ok(offset) => self.damage(
                    path,
                    position,
                    format!("offset {} is said to be at {}, where {offset} is", entry.offset, entry.position),
                ),
                Err(_) => self.damage(
                    path,
                    position,
                    format!(
                        "offset {} is said to be at {}, where no batch begins",
                        entry.offset, entry.position
                    ),
                ),
            }
        }
    }

    fn time_index(&mut self, path: &Path, bytes: &[u8], base: Offset, batches: &[BatchPlace]) {
        let mut before: Option<(i64, Offset)> = None;
        for (at, entry) in time_entries(bytes, base).enumerate() {
            let position = (at * TIME_ENTRY_BYTES) as u64;
            if !self.dump.verify {
                self.line(
                    &format!("  timestamp {} at offset {}", entry.timestamp, entry.offset),
                    &json!({"timestamp": entry.timestamp, "offset": entry.offset}),
                );
                continue;
            }
            if before.is_some_and(|(time, offset)| entry.timestamp <= time || entry.offset <= offset) {
                self.damage(
                    path,
                    position,
                    format!("the entry of timestamp {} is out of order", entry.timestamp),
                );
            }
            before = Some((entry.timestamp, entry.offset));
            let found = batches.binary_search_by_key(&entry.offset, |batch| batch.base_offset);
            if !found.is_ok_and(|at| batches[at].max_timestamp == entry.timestamp) {
                let message =
                    format!("no batch at offset {} has timestamp {}", entry.offset, entry.timestamp);
                self.damage(path, position, message);
            }
            let earlier = batches.iter().take_while(|batch| batch.base_offset < entry.offset);
            if earlier.map(|batch| batch.max_timestamp).max().is_some_and(|time| time > entry.timestamp) {
                let message = format!("a batch before offset {} is later than its entry", entry.offset);
                self.damage(path, position, message);
            }
        }
    }

    fn txn_index(&mut self, path: &Path, bytes: &[u8]) {
        for (at, entry) in txn_entries(bytes).enumerate() {
            let position = (at * TXN_ENTRY_BYTES) as u64;
            if !self.dump.verify {
                self.line(
                    &format!(
                        "  producer {} aborted offsets {} to {}, last stable offset {}",
                        entry.producer_id, entry.first_offset, entry.last_offset, entry.last_stable_offset
                    ),
                    &json!({
                        "producer_id": entry.producer_id, "first_offset": entry.first_offset,
                        "last_offset": entry.last_offset, "last_stable_offset": entry.last_stable_offset,
                    }),
                );
            }
            if !entry.is_intact {
                self.damage(path, position, "the checksum of the entry is wrong".to_owned());
            } else if entry.first_offset > entry.last_offset {
                self.damage(path, position, "the transaction ends before it begins".to_owned());
            }
        }
    }

    fn line(&mut self, text: &str, object: &serde_json::Value) {
        let _ = match self.form {
            ListForm::Table => writeln!(self.out, "{text}"),
            ListForm::Json => writeln!(self.out, "{object}"),
        };
    }
}

fn batch_text(position: u64, header: &BatchHeader, codec: &str, marker: Option<&str>) -> String {
    let mut text = format!(
        "  {position:>10}  offsets {}-{}  records {}  bytes {}  {codec}  timestamps {}-{}  epoch {}",
        header.base_offset,
        header.last_offset(),
        header.records_count,
        header.size_bytes(),
        header.base_timestamp,
        header.max_timestamp,
        header.partition_leader_epoch,
    );
    if header.is_idempotent() {
        let (id, epoch) = (header.producer_id.0, header.producer_epoch.0);
        text.push_str(&format!("  producer {id}/{epoch} sequence {}", header.base_sequence));
    }
    if header.is_transactional() {
        text.push_str("  transactional");
    }
    if let Some(marker) = marker {
        text.push_str(&format!("  control: {marker}"));
    }
    text
}

/// The next batch of a file with `left` bytes to come, its checksum checked. The inner error is damage.
fn read_batch(file: &mut impl Read, left: u64) -> io::Result<Result<RecordBatch, String>> {
    if left < HEADER_BYTES as u64 {
        return Ok(Err(format!(
            "{left} bytes are left, a batch has at least {HEADER_BYTES}: the end is torn"
        )));
    }
    let mut bytes = vec![0; HEADER_BYTES];
    file.read_exact(&mut bytes)?;
    let header = match BatchHeader::parse(&bytes) {
        Ok(header) => header,
        Err(error) => return Ok(Err(crate::render::error::chain(&error))),
    };
    let size = header.size_bytes();
    if size as u64 > left {
        return Ok(Err(format!(
            "the batch at offset {} has {size} bytes, {left} are left: the end is torn",
            header.base_offset
        )));
    }
    // No more than the file has.
    bytes.resize(size, 0);
    file.read_exact(&mut bytes[HEADER_BYTES..])?;
    Ok(RecordBatch::parse(Bytes::from(bytes)).map(|(batch, _)| batch).map_err(|error| {
        format!("the batch at offset {}: {}", header.base_offset, crate::render::error::chain(&error))
    }))
}
