//! A connection whose writes wait until all there is to send has been written, and go out together.
//!
//! An answer is a frame of headers, one of data and one of trailers. HTTP/2 as we have it writes data of more than some hundred bytes
//! in a system call of its own, and what follows in another; each of them wakes the client. Copying a few KiB costs far less.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes that are kept back at most; beyond them writing waits for the client to take some.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// The stream, as what speaks HTTP/2 over it has it: whatever is written waits for [`Outbox::send`].
pub(crate) struct Stream(Arc<Mutex<Kept>>);

/// Where the writes of a stream wait.
pub(crate) struct Outbox(Arc<Mutex<Kept>>);

struct Kept {
    stream: TcpStream,
    bytes: BytesMut,
}

/// The two ends of a connection, which one task holds, so that neither waits for the other.
pub(crate) fn outbox(stream: TcpStream) -> (Stream, Outbox) {
    let kept = Arc::new(Mutex::new(Kept { stream, bytes: BytesMut::new() }));
    (Stream(Arc::clone(&kept)), Outbox(kept))
}

// Nothing panics while it holds the lock, so a poisoned lock tells nothing.
fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Outbox {
    /// Sends what waits.
    ///
    /// # Errors
    /// Those of the connection.
    pub(crate) fn poll_send(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.0).poll_send(context)
    }
}

impl Kept {
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.bytes.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(context, &self.bytes))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.bytes.advance(sent);
        }
        // Keeps its memory for the next answer, but not what one large answer took.
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes = BytesMut::new();
        } else {
            self.bytes.clear();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut lock(&self.0).stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(self: Pin<&mut Self>, context: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut kept = lock(&self.0);
        if kept.bytes.len() >= KEPT_BYTES_MAX {
            ready!(kept.poll_send(context))?;
        }
        let mut taken = 0;
        for part in parts {
            let room = KEPT_BYTES_MAX.saturating_sub(kept.bytes.len());
            let part = part.get(..room.min(part.len())).unwrap_or_default();
            kept.bytes.extend_from_slice(part);
            taken += part.len();
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut kept = lock(&self.0);
        ready!(kept.poll_send(context))?;
        Pin::new(&mut kept.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().expect("bound")), listener.accept());
        (near.expect("connected"), far.expect("accepted").0)
    }

    #[tokio::test]
    async fn writes_wait_until_they_are_sent_and_go_out_together() {
        let (near, mut far) = pair().await;
        let (mut stream, outbox) = outbox(near);
        stream.write_all(b"head").await.expect("kept");
        stream.flush().await.expect("kept");
        stream.write_all(b"body").await.expect("kept");
        let mut nothing = [0; 8];
        assert_eq!(far.try_read(&mut nothing).expect_err("nothing was sent").kind(), io::ErrorKind::WouldBlock);
        poll_fn(|context| outbox.poll_send(context)).await.expect("sent");
        let mut all = [0; 8];
        far.read_exact(&mut all).await.expect("whole");
        assert_eq!(&all, b"headbody");
    }

    #[tokio::test]
    async fn more_than_may_be_kept_waits_for_the_client() {
        let (near, mut far) = pair().await;
        let (mut stream, outbox) = outbox(near);
        let sent: Vec<u8> = (0..20 * KEPT_BYTES_MAX).map(|i| (i % 251) as u8).collect();
        let expected = sent.clone();
        let writing = tokio::spawn(async move {
            stream.write_all(&sent).await.expect("taken");
            assert!(lock(&stream.0).bytes.len() <= KEPT_BYTES_MAX);
            stream.shutdown().await.expect("the rest is sent first");
            drop(outbox);
        });
        let mut all = Vec::new();
        far.read_to_end(&mut all).await.expect("whole");
        writing.await.expect("no panic");
        assert!(all == expected);
    }
}
