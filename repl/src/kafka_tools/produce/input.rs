//! Input cut into pieces, each of which becomes a record.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use tokio::sync::mpsc;

use crate::kafka_tools::error::{Result, ToolError};
use crate::kafka_tools::produce::plan::Pieces;

/// Bytes of a piece at most.
const PIECE_BYTES_MAX: usize = 64 << 20;

/// A piece and where it stood, or why there are no more.
pub type Piece = Result<(String, Vec<u8>)>;

/// Reads files, or standard input without any, until they end or fail or the receiver is gone.
///
/// Threads: blocks; for a thread of its own.
pub fn read_pieces(files: &[PathBuf], form: &Pieces, pieces: &mpsc::Sender<Piece>) {
    if files.is_empty() {
        read_from(&mut std::io::stdin().lock(), "standard input", form, pieces);
    }
    for path in files {
        let shown = path.display().to_string();
        let goes_on = match File::open(path) {
            Ok(file) => read_from(&mut BufReader::new(file), &shown, form, pieces),
            Err(source) => {
                // The receiver is gone only if it has failed already.
                let _ = pieces.blocking_send(Err(ToolError::Io { action: "read", path: shown, source }));
                false
            }
        };
        if !goes_on {
            return;
        }
    }
}

/// False after a failure, or when the receiver is gone.
fn read_from(input: &mut impl BufRead, name: &str, form: &Pieces, pieces: &mpsc::Sender<Piece>) -> bool {
    let mut number = 0_u64;
    loop {
        number += 1;
        let (place, outcome) = match form {
            Pieces::Whole => (name.to_owned(), whole(input).map(Some)),
            Pieces::Delimited(delimiter) => (format!("{name}:{number}"), next(input, delimiter)),
        };
        let piece = match outcome {
            Ok(None) => return true,
            Ok(Some(bytes)) if bytes.len() > PIECE_BYTES_MAX => Err(ToolError::Input {
                place,
                message: format!("a record is longer than {PIECE_BYTES_MAX} bytes"),
            }),
            Ok(Some(bytes)) => Ok((place, bytes)),
            Err(source) => Err(ToolError::Io { action: "read", path: name.to_owned(), source }),
        };
        let failed = piece.is_err();
        if pieces.blocking_send(piece).is_err() || failed {
            return false;
        }
        if *form == Pieces::Whole {
            return true;
        }
    }
}

fn whole(input: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(PIECE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The piece before the next delimiter, or before the end unless it is empty. Too long a piece is cut.
fn next(input: &mut impl BufRead, delimiter: &[u8]) -> std::io::Result<Option<Vec<u8>>> {
    let Some(last) = delimiter.last() else { return whole(input).map(Some) };
    let mut bytes = Vec::new();
    loop {
        let room = (PIECE_BYTES_MAX + delimiter.len() + 1).saturating_sub(bytes.len());
        let read = input.by_ref().take(room as u64).read_until(*last, &mut bytes)?;
        if bytes.ends_with(delimiter) {
            bytes.truncate(bytes.len() - delimiter.len());
            return Ok(Some(bytes));
        }
        if read == 0 {
            return Ok((!bytes.is_empty()).then_some(bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(input: &[u8], delimiter: &[u8]) -> Vec<String> {
        let mut input = input;
        let mut pieces = Vec::new();
        while let Some(piece) = next(&mut input, delimiter).expect("memory") {
            pieces.push(String::from_utf8_lossy(&piece).into_owned());
        }
        pieces
    }

    #[test]
    fn input_is_cut_at_delimiters() {
        assert_eq!(cut(b"a\nb\n\nc", b"\n"), ["a", "b", "", "c"]);
        assert_eq!(cut(b"a;b::c::", b"::"), ["a;b", "c"]);
        assert_eq!(cut(b"a:b:::c", b"::"), ["a:b", ":c"]);
        assert_eq!(cut(b"a\0b", b"\0"), ["a", "b"]);
        assert_eq!(cut(b"", b"\n"), [""; 0]);
    }

    #[test]
    fn too_long_a_piece_ends_the_reading() {
        let (sender, mut pieces) = mpsc::channel(4);
        let long = vec![b'x'; PIECE_BYTES_MAX + 1];
        let form = Pieces::Delimited(b"\n".to_vec());
        assert!(!read_from(&mut long.as_slice(), "f", &form, &sender));
        let error = pieces.try_recv().expect("sent").expect_err("too long").to_string();
        assert!(error.contains("f:1: a record is longer"), "{error}");
        assert!(pieces.try_recv().is_err());
    }
}
