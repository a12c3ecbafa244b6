//! The gateway's thread: its loop, and how frames get in and out. What can fail is made before the thread is.

use super::descriptors::Descriptors;
use super::engine::Engine;
use super::frames::FrameReader;
use super::publish::{PublishError, Published, publish, unpublish};
use super::shared::Shared;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::sync::Arc;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{LocalSet, spawn_local};

/// What callers want of the thread.
pub(super) enum Order {
    Publish { host_port: u16, guest_port: u16, reply: oneshot::Sender<Result<Published, PublishError>> },
    Unpublish { host_port: u16, reply: oneshot::Sender<bool> },
}

/// As much is asked of the kernel for what waits on the way to QEMU. What it gives is enough.
const SEND_BUFFER_BYTES: usize = 1024 * 1024;

/// What the thread begins with.
pub(super) struct Beginning {
    runtime: EventLoop,
    device: UnixStream,
    shared: Arc<Shared>,
    /// Decides the first sequence numbers.
    seed: u64,
    descriptors: Descriptors,
}

/// Ends without waiting for what looks up names, wherever it is dropped: also where nothing may wait.
struct EventLoop(Option<Runtime>);

impl Drop for EventLoop {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Beginning {
    /// # Errors
    /// There are no descriptors left, or the device is none.
    pub(super) fn new(device: std::os::unix::net::UnixStream, shared: Arc<Shared>) -> io::Result<Self> {
        device.set_nonblocking(true)?;
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&device, SEND_BUFFER_BYTES);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let device = {
            let _inside = runtime.enter();
            UnixStream::from_std(device)
        };
        let runtime = EventLoop(Some(runtime));
        let mut seed = [0; 8];
        rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())?;
        shared.guard.prepare();
        let descriptors = Descriptors::reserve(); // last, since it counts those that are open
        Ok(Self { runtime, device: device?, shared, seed: u64::from_ne_bytes(seed), descriptors })
    }
}

/// The whole life of the thread: until the device hangs up, or nobody can send orders any more.
pub(super) fn run(beginning: Beginning, orders: mpsc::Receiver<Order>) {
    let Beginning { runtime, device, shared, seed, descriptors } = beginning;
    let Some(event_loop) = &runtime.0 else { return };
    let tasks = LocalSet::new();
    let engine = Engine::new(shared, seed, descriptors);
    if let Err(error) = event_loop.block_on(tasks.run_until(live(device, engine, orders))) {
        tracing::warn!(%error, "the network device has failed");
    }
    drop(tasks); // which ends every connection
}

async fn live(device: UnixStream, engine: Rc<Engine>, mut orders: mpsc::Receiver<Order>) -> io::Result<()> {
    let (device, shared) = (Rc::new(device), engine.shared.clone());
    spawn_local(write(engine.clone(), device.clone()));
    let mut frames = FrameReader::new();
    loop {
        tokio::select! {
            ready = device.readable() => {
                ready?;
                if !read(&engine, &device, &mut frames)? {
                    return Ok(());
                }
                tokio::task::yield_now().await; // so that connections get their turn while the guest is busy
            }
            order = orders.recv() => match order {
                Some(order) => obey(&engine, order),
                None => return Ok(()),
            },
            () = shared.policy_changed.notified() => engine.judge_again(),
        }
    }
}

/// Takes what has come. False if the device has hung up.
fn read(engine: &Rc<Engine>, device: &UnixStream, frames: &mut FrameReader) -> io::Result<bool> {
    match device.try_read(frames.space()) {
        Ok(0) => return Ok(false),
        Ok(bytes) => frames.filled(bytes),
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(false),
        Err(error) => return Err(error),
    }
    while let Some(frame) = frames.next(&engine.shared).map_err(io::Error::other)? {
        engine.frame(frame);
    }
    Ok(true)
}

/// Gives the device what is for the guest, as long as there is a device.
async fn write(engine: Rc<Engine>, device: Rc<UnixStream>) {
    loop {
        poll_fn(|context| engine.wire.borrow_mut().outbox.poll_bytes(context)).await;
        let written = {
            let outbox = &mut engine.wire.borrow_mut().outbox;
            let written = device.try_write(outbox.bytes());
            outbox.wrote(*written.as_ref().unwrap_or(&0));
            written
        };
        match written {
            Ok(_) => tokio::task::yield_now().await, // what others add meanwhile goes with the next
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if device.writable().await.is_err() {
                    return;
                }
            }
            Err(_) => return, // it hung up, which whoever reads notices
        }
    }
}

fn obey(engine: &Rc<Engine>, order: Order) {
    match order {
        Order::Publish { host_port, guest_port, reply } => {
            let published = publish(engine, host_port, guest_port);
            if let Err(Ok(published)) = reply.send(published) {
                unpublish(engine, published.host_port); // nobody waits for it any more
            }
        }
        Order::Unpublish { host_port, reply } => {
            let _ = reply.send(unpublish(engine, host_port));
        }
    }
}
