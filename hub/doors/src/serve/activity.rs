//! Whether anything is under way on a connection. What holds a place without using it is asked to leave: nothing in
//! HTTP makes a silent peer go away by itself, and the libraries time only the heads of HTTP/1.1.
//!
//! A request is under way from its head until its answer's last byte was handed to the connection, so a long poll or an
//! event stream never counts as quiet. Bytes that the peer takes slowly may still wait in the connection by then: a
//! write that had to wait and went on is a sign of life, too. Our own pings never wait on a connection that is read.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// How long a connection may be quiet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Before the head of its first request.
    pub(super) first: Duration,
    /// Between two requests.
    pub(super) later: Duration,
    /// After it was asked to close.
    pub(super) goodbye: Duration,
}

/// What happens on one connection.
#[derive(Debug)]
pub(super) struct Activity(Mutex<Times>);

#[derive(Debug)]
struct Times {
    under_way: usize,
    asked: bool,
    quiet_since: Instant,
}

impl Activity {
    /// Of a connection that was just opened.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Times { under_way: 0, asked: false, quiet_since: Instant::now() })))
    }

    /// A request begins.
    pub(super) fn request(self: &Arc<Self>) -> UnderWay {
        let mut times = self.0.lock();
        times.under_way += 1;
        times.asked = true;
        UnderWay(Arc::clone(self))
    }

    fn moved(&self) {
        self.0.lock().quiet_since = Instant::now();
    }

    /// Returns when the connection was quiet for too long; `closing` is when it was asked to close.
    pub(super) async fn quiet(&self, patience: Patience, closing: Option<Instant>) {
        loop {
            let (now, until) = (Instant::now(), self.quiet_until(patience, closing));
            if until <= now {
                return;
            }
            // A request may come and go while this sleeps; whatever it leaves is no sooner than `later` from now.
            tokio::time::sleep_until(until.min(now + patience.later)).await;
        }
    }

    /// When it will have been quiet for too long if nothing happens from now on.
    fn quiet_until(&self, patience: Patience, closing: Option<Instant>) -> Instant {
        let times = self.0.lock();
        let limit = match (closing, times.asked) {
            (Some(_), _) => patience.goodbye,
            (None, true) => patience.later,
            (None, false) => patience.first,
        };
        let since = if times.under_way > 0 { Instant::now() } else { times.quiet_since };
        since.max(closing.unwrap_or(since)) + limit
    }
}

/// A request until it is dropped.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Activity>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut times = self.0.0.lock();
        times.under_way -= 1;
        times.quiet_since = Instant::now();
    }
}

/// A body whose request is under way until it is gone.
#[derive(Debug)]
pub(super) struct Held {
    body: Body,
    _request: UnderWay,
}

impl Held {
    pub(super) fn new(body: Body, request: UnderWay) -> Self {
        Self { body, _request: request }
    }
}

impl hyper::body::Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that notes when a write that had to wait went on.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
    waits: bool,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity, waits: false }
    }

    fn noted<T>(&mut self, written: Poll<T>) -> Poll<T> {
        if self.waits && written.is_ready() {
            self.activity.moved();
        }
        self.waits = written.is_pending();
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.noted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.noted(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const PATIENCE: Patience = Patience { first: HOUR, later: HOUR.saturating_mul(6), goodbye: HOUR.saturating_mul(2) };

    fn hours_left(activity: &Activity, closing: Option<Instant>) -> f64 {
        let left = activity.quiet_until(PATIENCE, closing) - Instant::now();
        (left.as_secs_f64() / HOUR.as_secs_f64()).round()
    }

    #[tokio::test]
    async fn a_connection_is_quiet_only_while_no_request_is_under_way() {
        let activity = Activity::new();
        assert_eq!(hours_left(&activity, None), 1.0, "until the head of the first request");
        let (one, two) = (activity.request(), activity.request());
        assert_eq!(hours_left(&activity, None), 6.0);
        let short = Patience { first: Duration::ZERO, later: Duration::from_millis(5), goodbye: Duration::ZERO };
        let poll = tokio::time::timeout(Duration::from_millis(100), activity.quiet(short, None));
        assert!(poll.await.is_err(), "a poll takes as long as it takes");
        drop(one);
        assert!(tokio::time::timeout(Duration::from_millis(50), activity.quiet(short, None)).await.is_err());
        drop(two);
        let quiet = activity.0.lock().quiet_since;
        assert_eq!(activity.quiet_until(PATIENCE, None), quiet + PATIENCE.later);
        let closing = quiet + HOUR;
        assert_eq!(activity.quiet_until(PATIENCE, Some(closing)), closing + PATIENCE.goodbye);
        activity.quiet(short, None).await;
    }

    #[tokio::test]
    async fn an_answer_that_is_taken_slowly_is_a_sign_of_life() {
        let (near, mut far) = tokio::io::duplex(16);
        let activity = Activity::new();
        let mut quiet = activity.0.lock().quiet_since;
        let mut near = Watched::new(near, Arc::clone(&activity));
        near.write_all(&[0; 8]).await.expect("there is room");
        assert_eq!(activity.0.lock().quiet_since, quiet, "what never waited tells nothing");

        let writing = tokio::spawn(async move { near.write_all(&[7; 40]).await });
        for taken in 1..=2 {
            let before = quiet;
            far.read_exact(&mut [0; 16]).await.expect("some of it");
            while quiet == before && !writing.is_finished() {
                tokio::time::sleep(Duration::from_millis(1)).await;
                quiet = activity.0.lock().quiet_since;
            }
            assert!(quiet > before, "{taken}");
        }
        writing.await.expect("no panic").expect("written");
    }
}
