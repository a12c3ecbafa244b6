//! The last bytes that came out of somewhere: the console, QEMU's standard error. Bounded, whatever is written.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

/// Collects from a stream in the background, and stops when dropped.
#[derive(Debug)]
pub(super) struct Tail {
    kept: Arc<Mutex<VecDeque<u8>>>,
    reader: JoinHandle<()>,
}

impl Tail {
    /// Keeps the last `limit` bytes of the stream.
    pub(super) fn of(mut stream: UnixStream, limit: usize) -> Self {
        let kept = Arc::new(Mutex::new(VecDeque::new()));
        let sink = Arc::clone(&kept);
        let reader = tokio::spawn(async move {
            let mut buffer = vec![0; 4096];
            while let Ok(n_read @ 1..) = stream.read(&mut buffer).await {
                let mut kept = sink.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend(&buffer[..n_read]);
                let excess = kept.len().saturating_sub(limit);
                kept.drain(..excess);
            }
        });
        Self { kept, reader }
    }

    /// What was kept so far. Bytes that are no UTF-8 are replaced, control characters other than line ends
    /// dropped: this is shown on terminals.
    pub(super) fn text(&self) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = kept.iter().copied().collect();
        String::from_utf8_lossy(&bytes).chars().filter(|&c| c == '\n' || !c.is_control()).collect()
    }

    /// Waits a moment for what a process that has ended left in the stream. May be asked for again.
    pub(super) async fn settle(&mut self) {
        if self.reader.is_finished() {
            return;
        }
        let _ = tokio::time::timeout(std::time::Duration::from_millis(200), &mut self.reader).await;
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
