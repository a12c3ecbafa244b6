//! The ports of a service that are published: open from just before it starts until it has ended.

use crate::error::Result;
use crate::publish::PublishSpec;
use crate::supervisor::network;
use crate::supervisor::shared::Shared;
use std::sync::Arc;

/// See the module. Dropped, they are closed, some time later.
pub(super) struct PublishedPorts {
    shared: Arc<Shared>,
    ports: Vec<PublishSpec>,
}

impl PublishedPorts {
    /// Opens all of them, or none.
    pub(super) async fn open(shared: &Arc<Shared>, wanted: &[PublishSpec]) -> Result<Self> {
        let mut opened = Self { shared: Arc::clone(shared), ports: Vec::new() };
        for &spec in wanted {
            match network::open(shared, spec).await {
                Ok(port) => opened.ports.push(port),
                Err(error) => {
                    opened.close().await;
                    return Err(error);
                }
            }
        }
        Ok(opened)
    }

    /// Those that are open, each with the port of the host that it got.
    pub(super) fn ports(&self) -> &[PublishSpec] {
        &self.ports
    }

    /// Closes all of them: they may be opened again when this returns.
    pub(super) async fn close(&mut self) {
        for port in std::mem::take(&mut self.ports) {
            network::close(&self.shared, port).await;
        }
    }
}

impl Drop for PublishedPorts {
    fn drop(&mut self) {
        let (shared, ports) = (Arc::clone(&self.shared), std::mem::take(&mut self.ports));
        if ports.is_empty() {
            return;
        }
        tokio::spawn(async move {
            for port in ports {
                network::close(&shared, port).await;
            }
        });
    }
}
