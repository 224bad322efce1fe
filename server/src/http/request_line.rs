//! Back-quotes in the paths of HTTP/1.1 requests. ksqlDB's command ids contain them and scripts send them as they are,
//! but a URI may not: they are escaped before the request is parsed.
//!
//! The bytes of a connection are followed through its requests, so that request lines alone are changed. Where the
//! length of a body is in doubt, nothing more of the connection is changed. Source: RFC 9112, sections 3, 6 and 7.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of a line that are looked at.
const LINE_BYTES_MAX: usize = 256;
const ESCAPED: &[u8] = b"%60";

/// A connection whose request lines are escaped.
#[derive(Debug)]
pub(crate) struct RequestLine<I> {
    inner: I,
    requests: Requests,
    /// Bytes that were read and not passed on yet.
    pending: Vec<u8>,
    passed: usize,
}

impl<I> RequestLine<I> {
    pub(crate) fn new(inner: I) -> RequestLine<I> {
        RequestLine { inner, requests: Requests::default(), pending: Vec::new(), passed: 0 }
    }
}

/// Part of a request that the next byte belongs to.
///
/// ```text
/// Line ─> Headers ─┬─> Line
///                  ├─> Body ─> Line
///                  ├─> ChunkSize ─┬─> ChunkData ─> ChunkSize
///                  │              └─> Trailers ─> Line
///                  └─> Opaque
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Line,
    Headers,
    /// A body of this many bytes more.
    Body(u64),
    ChunkSize,
    /// The data of a chunk with the line end behind it: this many bytes more.
    ChunkData(u64),
    Trailers,
    /// Not HTTP/1.1, or not to be followed.
    Opaque,
}

/// Length of a body as the headers read so far give it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Length {
    #[default]
    None,
    Bytes(u64),
    Chunked,
    /// Given twice, malformed, or no HTTP follows.
    Doubtful,
}

/// The requests of a connection, followed byte by byte.
#[derive(Debug, Default)]
struct Requests {
    part: Part,
    length: Length,
    /// Beginning of the line that is being read.
    line: Vec<u8>,
    is_cut: bool,
}

impl Requests {
    /// Follows `bytes` up to the first back-quote in a request line. Returns its position; `None` if there is none,
    /// and all bytes have been followed.
    fn next_quote(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            match self.part {
                Part::Opaque => return None,
                Part::Body(left) => {
                    let (taken, left) = skip(rest, left);
                    self.part = if left == 0 { Part::Line } else { Part::Body(left) };
                    at += taken;
                }
                Part::ChunkData(left) => {
                    let (taken, left) = skip(rest, left);
                    self.part = if left == 0 { Part::ChunkSize } else { Part::ChunkData(left) };
                    at += taken;
                }
                Part::Line | Part::Headers | Part::ChunkSize | Part::Trailers => {
                    let end = position(rest, b'\n');
                    let text = &rest[..end.unwrap_or(rest.len())];
                    if self.part == Part::Line
                        && let Some(quote) = position(text, b'`')
                    {
                        self.collect(&text[..quote]);
                        self.collect(ESCAPED);
                        return Some(at + quote);
                    }
                    self.collect(text);
                    at += text.len();
                    if end.is_some() {
                        at += 1;
                        self.end_line();
                    }
                }
            }
        }
        None
    }

    fn collect(&mut self, text: &[u8]) {
        let free = LINE_BYTES_MAX - self.line.len();
        self.is_cut |= text.len() > free;
        self.line.extend_from_slice(&text[..text.len().min(free)]);
    }

    fn end_line(&mut self) {
        let mut line = std::mem::take(&mut self.line);
        let is_cut = std::mem::take(&mut self.is_cut);
        if line.last() == Some(&b'\r') && !is_cut {
            line.pop();
        }
        self.part = match self.part {
            // Empty lines before a request are passed over.
            Part::Line if line.is_empty() => Part::Line,
            // The preface of HTTP/2, or a tunnel.
            Part::Line if line.starts_with(b"PRI ") || line.starts_with(b"CONNECT ") => Part::Opaque,
            Part::Line => {
                self.length = Length::None;
                Part::Headers
            }
            Part::Headers if line.is_empty() => match self.length {
                Length::None | Length::Bytes(0) => Part::Line,
                Length::Bytes(bytes) => Part::Body(bytes),
                Length::Chunked => Part::ChunkSize,
                Length::Doubtful => Part::Opaque,
            },
            Part::Headers => {
                self.length = header(&line, is_cut, self.length);
                Part::Headers
            }
            Part::ChunkSize => match chunk_bytes(&line) {
                Some(0) => Part::Trailers,
                // The data ends with CRLF.
                Some(bytes) => bytes.checked_add(2).map_or(Part::Opaque, Part::ChunkData),
                None => Part::Opaque,
            },
            Part::Trailers if line.is_empty() => Part::Line,
            Part::Trailers => Part::Trailers,
            part @ (Part::Body(_) | Part::ChunkData(_) | Part::Opaque) => part,
        };
        line.clear();
        self.line = line;
    }
}

fn position(bytes: &[u8], wanted: u8) -> Option<usize> {
    bytes.iter().position(|byte| *byte == wanted)
}

/// How many of `bytes` belong to the next `left`, and how many of these are still to come.
fn skip(bytes: &[u8], left: u64) -> (usize, u64) {
    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    (taken, left - taken as u64)
}

/// The length of the body after one more header.
fn header(line: &[u8], is_cut: bool, known: Length) -> Length {
    let Some(colon) = position(line, b':') else { return Length::Doubtful };
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
    let length = if name.is_empty() || name.iter().any(u8::is_ascii_whitespace) || is("upgrade") {
        Length::Doubtful
    } else if is("content-length") {
        decimal(value).map_or(Length::Doubtful, Length::Bytes)
    } else if is("transfer-encoding") {
        if value.eq_ignore_ascii_case(b"chunked") { Length::Chunked } else { Length::Doubtful }
    } else {
        return known;
    };
    if known == Length::None && !is_cut { length } else { Length::Doubtful }
}

fn decimal(text: &[u8]) -> Option<u64> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| is_number)?.parse().ok()
}

/// The size at the beginning of a chunk; extensions may follow it.
fn chunk_bytes(line: &[u8]) -> Option<u64> {
    let size = line.split(|byte| *byte == b';').next().unwrap_or(line).trim_ascii();
    let is_number = !size.is_empty() && size.iter().all(u8::is_ascii_hexdigit);
    u64::from_str_radix(std::str::from_utf8(size).ok().filter(|_| is_number)?, 16).ok()
}

impl<I: AsyncRead + Unpin> AsyncRead for RequestLine<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.passed == this.pending.len() {
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
            let read = &buf.filled()[before..];
            let Some(quote) = this.requests.next_quote(read) else { return Poll::Ready(Ok(())) };
            // What follows grows, and may not fit.
            this.pending.clear();
            this.passed = 0;
            let mut rest = &read[quote + 1..];
            this.pending.extend_from_slice(ESCAPED);
            while let Some(quote) = this.requests.next_quote(rest) {
                this.pending.extend_from_slice(&rest[..quote]);
                this.pending.extend_from_slice(ESCAPED);
                rest = &rest[quote + 1..];
            }
            this.pending.extend_from_slice(rest);
            buf.set_filled(before + quote);
        }
        let rest = &this.pending[this.passed..];
        let count = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..count]);
        this.passed += count;
        if this.passed == this.pending.len() {
            (this.pending, this.passed) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for RequestLine<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// What is read of a connection on which `sent` arrives in parts of this many bytes.
    async fn escaped(sent: &str, part_bytes: usize) -> String {
        let (mut client, server) = tokio::io::duplex(part_bytes);
        let sent = sent.to_owned();
        let sending = tokio::spawn(async move {
            client.write_all(sent.as_bytes()).await.expect("sent");
        });
        let mut read = Vec::new();
        RequestLine::new(server).read_to_end(&mut read).await.expect("read");
        sending.await.expect("sent");
        String::from_utf8(read).expect("text")
    }

    /// `~` stands for a back-quote of a request line, which is escaped.
    async fn check(requests: &str) {
        let (sent, wanted) = (requests.replace('~', "`"), requests.replace('~', "%60"));
        for part_bytes in [1, 2, 3, 7, 64, sent.len()] {
            assert_eq!(escaped(&sent, part_bytes).await, wanted, "{part_bytes}");
        }
    }

    #[tokio::test]
    async fn back_quotes_of_all_request_lines_are_escaped_and_no_others() {
        let long = "x".repeat(LINE_BYTES_MAX + 50);
        check(&format!(
            "GET /status/stream/~S~/create HTTP/1.1\r\nX: `\r\nY: {long}`\r\n\r\n\
             POST /ksql HTTP/1.1\r\ncontent-LENGTH:  13 \r\n\r\n{{\"a\": \"`b`\"}}\n\
             \r\nGET /{long}~ HTTP/1.1\nHost: a\n\n\
             POST /x~ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\n`\n`\n`\r\nA\r\n0123`56789\r\n0\r\nT: `\r\n\r\n\
             GET /~~~ HTTP/1.1\r\nContent-Length: 0\r\n\r\nGET /~ HTTP/1.1\r\n\r\n"
        ))
        .await;
    }

    #[tokio::test]
    async fn connections_that_cannot_be_followed_are_left_alone() {
        for head in [
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "CONNECT a:1 HTTP/1.1\r\n\r\n",
            "GET /ws/query~ HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length : 1\r\n\r\n",
            "POST / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n",
        ] {
            check(&format!("{head}GET /` HTTP/1.1\r\n\r\n")).await;
        }
        let spaces = " ".repeat(LINE_BYTES_MAX);
        check(&format!("POST / HTTP/1.1\r\nContent-Length: 1{spaces}1\r\n\r\nGET /` HTTP/1.1\r\n\r\n")).await;
    }
}
