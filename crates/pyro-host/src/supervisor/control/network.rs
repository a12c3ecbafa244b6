//! The network of a persistent VM: asked of its supervisor where it has one, else read from its record and written there.

use super::{Control, socket_of};
use crate::error::{Context, Error, ErrorKind, Result};
use crate::instance::{InstanceRecord, Observed};
use crate::network::{NetworkInfo, PolicyChange, PolicyInfo, no_network, not_published};
use crate::publish::PublishSpec;
use crate::supervisor::client::Call;
use crate::supervisor::operation::Operation;
use serde::de::DeserializeOwned;
use std::path::Path;

impl Control {
    /// How the network of one is.
    ///
    /// # Errors
    /// `not_found`, and what the supervisor fails with.
    pub async fn network(&self, id: &str) -> Result<NetworkInfo> {
        let observed = self.instances.find(id)?;
        if let (true, Some(socket)) = (observed.record.network_enabled, socket_of(&self.state_dir, &observed))
        {
            match ask(id, &socket, Operation::Network).await {
                // It ended just now, or is only being started.
                Err(error) if error.kind() == ErrorKind::WrongState => {}
                answered => return answered,
            }
        }
        recorded(&observed.record)
    }

    /// Changes whom its guest may talk to.
    ///
    /// # Errors
    /// `not_found` for itself or a rule to be removed, `invalid_argument` for a rule that is none, `wrong_state` when it has
    /// no network or is just being started or stopped.
    pub async fn change_network(&self, id: &str, change: &PolicyChange) -> Result<NetworkInfo> {
        let observed = self.instances.find(id)?;
        if !observed.record.network_enabled {
            return Err(no_network(self.kind.noun(), id, false));
        }
        if let Some(socket) = socket_of(&self.state_dir, &observed) {
            return ask(id, &socket, Operation::NetworkChange(change.clone())).await;
        }
        self.change_record(&observed, |record| {
            record.network_allow = change.apply(&record.network_allow)?.allow().to_vec();
            recorded(record)
        })
    }

    /// Takes a published port back.
    ///
    /// # Errors
    /// `not_found` for itself or the port, `wrong_state` when it is just being started or stopped.
    pub async fn unpublish(&self, id: &str, host_port: u16) -> Result<PublishSpec> {
        let observed = self.instances.find(id)?;
        if let Some(socket) = socket_of(&self.state_dir, &observed) {
            return ask(id, &socket, Operation::Unpublish(host_port)).await;
        }
        self.change_record(&observed, |record| {
            let at = record.published.iter().position(|port| port.host_port == host_port);
            Ok(record.published.remove(at.ok_or_else(|| not_published(host_port))?))
        })
    }

    /// Changes the record of one that nobody runs.
    fn change_record<T>(
        &self,
        observed: &Observed,
        change: impl FnOnce(&mut InstanceRecord) -> Result<T>,
    ) -> Result<T> {
        let instance = &observed.instance;
        let Some(_owned) = self.instances.own(instance, usize::MAX)? else {
            let message = format!("the {} `{}` is being started", self.kind.noun(), instance.id);
            return Err(Error::new(ErrorKind::WrongState, message).with_hint("try again in a moment"));
        };
        let mut record = instance.read_record()?;
        let changed = change(&mut record)?;
        instance.write_record(&record)?;
        Ok(changed)
    }
}

async fn ask<T: DeserializeOwned>(id: &str, socket: &Path, operation: Operation) -> Result<T> {
    let answer = Call::start(socket, operation).await?.done().await?;
    let doing = || format!("could not read what the supervisor of `{id}` answers");
    serde_json::from_value(answer).failing(ErrorKind::Internal, doing)
}

fn recorded(record: &InstanceRecord) -> Result<NetworkInfo> {
    let policy = record.border()?.policy;
    Ok(NetworkInfo {
        network_enabled: record.network_enabled,
        policy: policy.as_ref().map(PolicyInfo::from),
        published: record.published.clone(),
        status: None,
        denials: Vec::new(),
    })
}
