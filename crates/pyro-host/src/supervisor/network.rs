//! The network of a supervised machine, for clients: how it is, whom its guest may talk to, which ports are published.

use super::shared::Shared;
use super::wire;
use crate::error::{Error, ErrorKind, Result};
use crate::execution_mode::ExecutionMode;
use crate::network::{self, NetworkInfo, PolicyChange, no_network};
use crate::publish::PublishSpec;
use pyro_network::denial::Denial;
use pyro_network::gateway::{Gateway, PublishError};
use serde_json::Value;
use std::sync::Arc;

/// Tells how it is.
pub(super) fn info(shared: &Shared) -> Result<Value> {
    let gateway = gateway(shared)?;
    wire::outcome(&NetworkInfo {
        network_enabled: true,
        policy: Some((&gateway.guard().policy()).into()),
        published: published(gateway),
        status: (!gateway.is_ended()).then(|| gateway.status()),
        denials: gateway.guard().denials().since(0),
    })
}

/// Changes whom the guest may talk to. Connections that are not allowed any more are cut off.
pub(super) fn change(shared: &Shared, change: &PolicyChange) -> Result<Value> {
    let gateway = gateway(shared)?;
    let mut record = shared.record();
    let policy = change.apply(&record.network_allow)?;
    let before = std::mem::replace(&mut record.network_allow, policy.allow().to_vec());
    if let Err(error) = shared.instance.write_record(&record) {
        record.network_allow = before;
        return Err(error);
    }
    drop(record);
    gateway.set_policy(policy);
    info(shared)
}

/// Publishes a port as long as the machine runs, and again when it is started the next time.
pub(super) async fn publish(shared: &Shared, spec: PublishSpec) -> Result<Value> {
    let published = open(shared, spec.checked()?).await?;
    let written = {
        let mut record = shared.record();
        record.published.push(published);
        let written = shared.instance.write_record(&record);
        if written.is_err() {
            record.published.pop();
        }
        written
    };
    if let Err(error) = written {
        close(shared, published).await;
        return Err(error);
    }
    wire::outcome(&published)
}

/// Takes a published port back.
pub(super) async fn unpublish(shared: &Shared, host_port: u16) -> Result<Value> {
    let found = shared.record().published.iter().position(|spec| spec.host_port == host_port);
    let at = found.ok_or_else(|| network::not_published(host_port))?;
    let spec = {
        let mut record = shared.record();
        let spec = record.published.remove(at);
        if let Err(error) = shared.instance.write_record(&record) {
            record.published.insert(at, spec); // it stays open, and can be taken back later
            return Err(error);
        }
        spec
    };
    close(shared, spec).await;
    wire::outcome(&spec)
}

/// Publishes again what was published when the machine was stopped. Gives what went wrong.
pub(super) async fn publish_again(shared: &Shared) -> Option<String> {
    let wanted = shared.record().published.clone();
    let mut trouble = Vec::new();
    for spec in wanted {
        // It stays in the record: at the next start its port may be free.
        if let Err(error) = open(shared, spec).await {
            trouble.push(error.chain().join(": "));
        }
    }
    (!trouble.is_empty()).then(|| trouble.join("; "))
}

/// Opens a port. The one that was chosen stands in what is given back.
pub(super) async fn open(shared: &Shared, spec: PublishSpec) -> Result<PublishSpec> {
    let published = gateway(shared)?.publish(spec.host_port, spec.guest_port).await;
    let published = published.map_err(|error| not_published(spec, error))?;
    Ok(PublishSpec { host_port: published.host_port, ..spec })
}

/// Closes a port, with its connections.
pub(super) async fn close(shared: &Shared, spec: PublishSpec) {
    if let Some(gateway) = shared.gateway() {
        gateway.unpublish(spec.host_port).await;
    }
}

/// Those that are open.
fn published(gateway: &Gateway) -> Vec<PublishSpec> {
    let of = |port: &pyro_network::status::PublishedPort| PublishSpec {
        host_port: port.host_port,
        guest_port: port.guest_port,
    };
    gateway.status().published.iter().map(of).collect()
}

fn not_published(spec: PublishSpec, error: PublishError) -> Error {
    let (kind, hint) = match &error {
        PublishError::InUse(_) | PublishError::AlreadyPublished(_) => {
            (ErrorKind::AlreadyExists, "take another port of the host, or 0 for any free one: 0:GUEST_PORT")
        }
        PublishError::NotPermitted(_) => {
            (ErrorKind::Io, "take a port of the host above 1023, or 0 for any free one")
        }
        PublishError::NoGuestPort => {
            (ErrorKind::InvalidArgument, "name the port that the service listens on")
        }
        PublishError::TooMany => (
            ErrorKind::LimitReached,
            "take one back, or stop a service that has some: `pyro workspace network ID`",
        ),
        PublishError::Ended => (ErrorKind::WrongState, "stop the workspace and start it again"),
        PublishError::Failed(..) => (ErrorKind::Io, "take another port of the host, or 0 for any free one"),
    };
    Error::new(kind, format!("could not publish port {} of the guest", spec.guest_port))
        .with_source(error)
        .with_hint(hint)
}

fn gateway(shared: &Shared) -> Result<&Arc<Gateway>> {
    shared.guest_now()?;
    let is_on_host = shared.record().execution_mode == ExecutionMode::HostCompat;
    let (noun, id) = (shared.instance.kind.noun(), shared.instance.id.as_str());
    shared.gateway().ok_or_else(|| no_network(noun, id, is_on_host))
}

impl Shared {
    /// How many denials there were: those that follow belong to whatever begins now.
    pub(super) fn denial_position(&self) -> u64 {
        self.gateway().map_or(0, |gateway| gateway.guard().denials().position())
    }

    /// The denials from a position on.
    pub(super) fn denials_since(&self, position: u64) -> Vec<Denial> {
        self.gateway().map_or(Vec::new(), |gateway| gateway.guard().denials().since(position))
    }
}
