//! Back-quotes in a request's path. ksqlDB's command ids contain them and scripts send them as they are, but a URI may
//! not: they are escaped before the request is parsed.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes read at once while the line has not ended.
const PART_BYTES_MAX: usize = 4_096;

/// A connection whose first line is escaped. Later requests of the same connection are passed on as they are.
#[derive(Debug)]
pub(crate) struct RequestLine<I> {
    inner: I,
    /// Bytes that were read and not passed on yet.
    pending: Vec<u8>,
    passed: usize,
    has_ended: bool,
}

impl<I> RequestLine<I> {
    pub(crate) fn new(inner: I) -> RequestLine<I> {
        RequestLine { inner, pending: Vec::new(), passed: 0, has_ended: false }
    }
}

/// Appends `bytes` to `out`, escaped up to the end of the line. True if the line has ended.
fn escape(bytes: &[u8], out: &mut Vec<u8>) -> bool {
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'`' => out.extend_from_slice(b"%60"),
            b'\n' => {
                out.extend_from_slice(&bytes[at..]);
                return true;
            }
            other => out.push(*other),
        }
    }
    false
}

impl<I: AsyncRead + Unpin> AsyncRead for RequestLine<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let line = &mut *self;
        if line.passed == line.pending.len() && !line.has_ended {
            let mut part = [0; PART_BYTES_MAX];
            let mut part = ReadBuf::new(&mut part);
            ready!(Pin::new(&mut line.inner).poll_read(cx, &mut part))?;
            line.pending.clear();
            line.passed = 0;
            line.has_ended = escape(part.filled(), &mut line.pending);
            if line.pending.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
        if line.passed < line.pending.len() {
            let rest = &line.pending[line.passed..];
            let count = rest.len().min(buf.remaining());
            buf.put_slice(&rest[..count]);
            line.passed += count;
            if line.has_ended && line.passed == line.pending.len() {
                (line.pending, line.passed) = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut line.inner).poll_read(cx, buf)
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

    #[tokio::test]
    async fn back_quotes_of_the_first_line_are_escaped_however_it_is_cut() {
        let sent = b"GET /status/stream/`S`/create HTTP/1.1\r\nX: `\r\n\r\n`body`";
        let wanted = b"GET /status/stream/%60S%60/create HTTP/1.1\r\nX: `\r\n\r\n`body`";
        for part_bytes in [1, 2, 7, sent.len()] {
            let (mut client, server) = tokio::io::duplex(part_bytes);
            let sending = tokio::spawn(async move {
                client.write_all(sent).await.expect("sent");
            });
            let mut read = Vec::new();
            RequestLine::new(server).read_to_end(&mut read).await.expect("read");
            sending.await.expect("sent");
            assert_eq!(String::from_utf8_lossy(&read), String::from_utf8_lossy(wanted), "{part_bytes}");
        }
    }
}
