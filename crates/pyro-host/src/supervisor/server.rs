//! One connection of a client: who it is, what it wants, and the answer.

use super::lifecycle::Event;
use super::operation::{ExecRequest, Operation, Topic};
use super::shared::{Phase, Shared, Wish};
use super::wire::{self, FrameReader, FrameWriter, Kind, Reply, Request};
use super::{exec, network, relay, service, shell};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::instance::{InstanceKind, SeedRecord};
use rustix::net::Shutdown;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex, oneshot};

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);

/// The client's end of a connection, to be read.
pub(super) type FromClient = FrameReader<OwnedReadHalf>;

/// The client's end of a connection, to be written by whoever has something to say.
pub(super) type ToClient = Arc<Mutex<FrameWriter<OwnedWriteHalf>>>;

/// Serves one client. What cannot be told to it is of no interest to anybody else.
pub(super) async fn serve(shared: Arc<Shared>, stream: UnixStream) {
    if !is_of_our_user(&stream) {
        return;
    }
    let (read, write) = stream.into_split();
    let (mut from, to) = (FrameReader::new(read), Arc::new(Mutex::new(FrameWriter::new(write))));
    let reply = match answer(&shared, &mut from, &to).await {
        Ok(value) => Reply::Done(value),
        Err(error) => Reply::Failed((&error).into()),
    };
    let mut write = to.lock().await;
    let _ = write.message(&reply).await;
    // A client that is still sending learns by this that nobody reads it any more.
    let _ = rustix::net::shutdown(write.get_ref().as_ref(), Shutdown::Both);
}

/// The socket's folder lets nobody else in; this holds where somebody has opened it.
fn is_of_our_user(stream: &UnixStream) -> bool {
    let ours = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == ours || peer.uid() == 0)
}

async fn answer(shared: &Arc<Shared>, from: &mut FromClient, to: &ToClient) -> Result<Value> {
    let unheard = || "could not read what a client wants".to_owned();
    let first = tokio::time::timeout(PATIENCE, from.next()).await;
    let frame = first.failing(ErrorKind::Timeout, unheard)?.doing(unheard)?;
    let Some((Kind::Message, payload)) = frame else {
        return Err(Error::new(ErrorKind::Internal, unheard()));
    };
    wire::check_version(&payload, shared.instance.id.as_str())?;
    let request: Request = wire::message(&payload).failing(ErrorKind::Internal, unheard)?;
    match request.operation {
        Operation::Exec(request) => exec_and_delete(shared, request, from, to).await,
        Operation::Task(task) => relay::relay(shared, task, from, to).await,
        Operation::Seeded(seed) => seeded(shared, seed).await,
        Operation::Stop => wish(shared, Event::Stop).await,
        Operation::Delete => wish(shared, Event::Delete).await,
        Operation::Follow(topic) => follow(shared, topic, from, to).await,
        Operation::Network => network::info(shared),
        Operation::NetworkChange(change) => network::change(shared, &change),
        Operation::Publish(spec) => network::publish(shared, spec).await,
        Operation::Unpublish(host_port) => network::unpublish(shared, host_port).await,
        operation => answer_session(shared, operation, from, to).await,
    }
}

/// What is about services and shells.
async fn answer_session(
    shared: &Arc<Shared>,
    operation: Operation,
    from: &mut FromClient,
    to: &ToClient,
) -> Result<Value> {
    if shared.instance.kind != InstanceKind::Workspace {
        return Err(Error::new(ErrorKind::Unsupported, "only workspaces have services and shells"));
    }
    match operation {
        Operation::ServiceStart(spec) => service::start(shared, spec).await,
        Operation::ServiceStop(name) => service::stop(shared, &name).await,
        Operation::ShellOpen(spec) => shell::open(shared, spec).await,
        Operation::ShellWrite(id) => shell::write(shared, &id, from).await,
        Operation::ShellSignal(id, signal) => shell::signal(shared, &id, signal),
        Operation::ShellResize(id, size) => shell::resize(shared, &id, size),
        Operation::ShellWait(id, wait) => shell::wait(shared, &id, &wait).await,
        Operation::ShellClose(id) => shell::close(shared, &id).await,
        Operation::ShellAttach(id) => shell::attach(shared, &id, from, to).await,
        _ => Err(Error::new(ErrorKind::Internal, "an operation that nobody carries out")),
    }
}

/// Runs a command, after which everything may have to go. Nobody waits for that.
async fn exec_and_delete(
    shared: &Arc<Shared>,
    request: ExecRequest,
    from: &mut FromClient,
    to: &ToClient,
) -> Result<Value> {
    let then_delete = request.then_delete;
    let result = exec::exec(shared, request, from, to).await;
    if then_delete {
        let (done, _) = oneshot::channel();
        let _ = shared.wishes.send(Wish { event: Event::Delete, done }).await; // it is ending already
    }
    result
}

/// Has the owner do something.
async fn wish(shared: &Shared, event: Event) -> Result<Value> {
    let (done, answer) = oneshot::channel();
    let gone = || Error::new(ErrorKind::WrongState, "the supervisor is ending already");
    shared.wishes.send(Wish { event, done }).await.map_err(|_| gone())?;
    answer.await.map_err(|_| gone())??;
    Ok(Value::Null)
}

/// The workspace has got its files: from now on it is one.
async fn seeded(shared: &Shared, seed: SeedRecord) -> Result<Value> {
    if *shared.phase.borrow() != Phase::Seeding {
        return Err(Error::new(ErrorKind::WrongState, "only a workspace that is being created is seeded"));
    }
    shared.guest()?.open_workspace().await?;
    shared.record().seed = seed;
    wish(shared, Event::Seeded).await
}

/// Tells of every change until nobody listens or all is over.
async fn follow(shared: &Shared, topic: Topic, from: &mut FromClient, to: &ToClient) -> Result<Value> {
    let mut changes = shared.topics.subscribe(topic);
    loop {
        let told = to.lock().await.message(&Reply::Changed).await;
        if told.is_err() {
            return Ok(Value::Null);
        }
        let over = shared.phase.subscribe();
        let is_over = async move {
            let _ = { over }.wait_for(|phase| matches!(phase, Phase::Ending { .. })).await;
        };
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return Ok(Value::Null) },
            () = is_over => return Ok(Value::Null),
            _ = from.next() => return Ok(Value::Null), // it has nothing to say: it is gone
        }
    }
}
