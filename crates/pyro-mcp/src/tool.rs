//! A tool: what a model is told of it, and the function that does it.

use crate::call::Call;
use crate::reply::Reply;
use crate::schema::{self, Object};
use pyro_host::error::{Error, Result};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// What a call may do, as far as a client wants to know before it lets a model do it. Nothing reaches beyond this
/// computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It only looks.
    Reads,
    /// It makes something new. What there was stays as it is.
    Adds,
    /// It may change or delete what is there.
    Changes,
    /// The same, and doing it again changes nothing more.
    ChangesOnce,
}

type Function = dyn Fn(Call, Object) -> Pin<Box<dyn Future<Output = Reply> + Send>> + Send + Sync;

/// A tool.
#[derive(Clone)]
pub struct Tool {
    /// Its name.
    pub name: &'static str,
    /// What a model is told of it.
    pub description: &'static str,
    /// What it may do.
    pub effect: Effect,
    /// The schema of its arguments.
    pub input_schema: Arc<Object>,
    /// The schema of its result.
    pub output_schema: Arc<Object>,
    function: Arc<Function>,
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tool").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a model is told of a tool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    pub name: &'static str,
    pub effect: Effect,
    pub description: &'static str,
}

impl Tool {
    /// The tool that a function is. Its types are the schemas.
    pub(crate) fn new<A, R, F>(told: Told, function: fn(Call, A) -> F) -> Self
    where
        A: DeserializeOwned + JsonSchema + Send + 'static,
        R: Serialize + JsonSchema,
        F: Future<Output = Result<R>> + Send + 'static,
    {
        let Told { name, effect, description } = told;
        let input_schema = Arc::new(schema::input::<A>());
        let taken = input_schema.clone();
        let call = move |call: Call, arguments: Object| -> Pin<Box<dyn Future<Output = Reply> + Send>> {
            match read::<A>(name, &taken, arguments) {
                Ok(arguments) => {
                    let doing = function(call, arguments);
                    Box::pin(async move { Reply::of(doing.await) })
                }
                Err(error) => Box::pin(std::future::ready(Reply::failed(&error))),
            }
        };
        Self {
            name,
            description,
            effect,
            input_schema,
            output_schema: Arc::new(schema::output::<R>()),
            function: Arc::new(call),
        }
    }

    /// Does it. Dropping the future ends what it started.
    pub fn call(&self, call: Call, arguments: Object) -> impl Future<Output = Reply> + Send + use<> {
        (self.function)(call, arguments)
    }
}

/// The arguments of a call. To many models nothing and `null` are the same.
fn read<A: DeserializeOwned>(name: &str, schema: &Object, mut arguments: Object) -> Result<A> {
    arguments.retain(|_, value| !value.is_null());
    serde_json::from_value(Value::Object(arguments)).map_err(|wrong| {
        Error::invalid(format!("wrong arguments for {name}"))
            .with_source(wrong)
            .with_hint(format!("{name} takes {}", parameters(schema)))
    })
}

/// The parameters in one line: `command (required), timeout_seconds (integer)`.
fn parameters(schema: &Object) -> String {
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|required| required.iter().any(|it| it == name));
    let one = |(name, property): (&String, &Value)| {
        let kind = property.get("type").and_then(Value::as_str).unwrap_or("see its schema");
        let necessity = if is_required(name) { ", required" } else { "" };
        format!("{name} ({kind}{necessity})")
    };
    let all: Vec<String> =
        schema.get("properties").and_then(Value::as_object).into_iter().flatten().map(one).collect();
    if all.is_empty() { "no arguments".into() } else { all.join(", ") }
}
