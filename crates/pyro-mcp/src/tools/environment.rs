//! Environments: what machines are made of.

use crate::call::Call;
use crate::tool::{Effect, Told, Tool};
use pyro_host::environment::EnvironmentList;
use pyro_host::error::Result;
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) fn tools() -> Vec<Tool> {
    vec![Tool::new(
        Told {
            name: "vm_list_environments",
            effect: Effect::Reads,
            description: "List the environments that a machine can be made of, with what is in each. One that is not \
                          installed is pulled when it is first used, which takes a minute.",
        },
        vm_list_environments,
    )]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListEnvironments {}

async fn vm_list_environments(call: Call, _: ListEnvironments) -> Result<EnvironmentList> {
    call.pyro.list_environments()
}
