//! A tool: what a model is told of it, and the function that does it.

use crate::call::Call;
use crate::reply::Reply;
use crate::schema::{self, Object};
use pyro_host::error::{Error, ErrorKind, Result};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

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
                    Box::pin(whatever_happens(async move { Reply::of(doing.await) }))
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

/// A defect is an answer too: without one a client would wait for ever.
async fn whatever_happens(doing: impl Future<Output = Reply>) -> Reply {
    let mut doing = pin!(doing);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| doing.as_mut().poll(context))) {
        Ok(polled) => polled,
        Err(_) => {
            let error = Error::new(ErrorKind::Internal, "pyro broke off");
            Poll::Ready(Reply::failed(&error.with_hint("this is a defect in pyro; tell the user")))
        }
    })
    .await
}

/// The arguments of a call. To many models nothing and `null` are the same, and to JSON Schema 30.0 and 30.
fn read<A: DeserializeOwned>(name: &str, schema: &Object, mut arguments: Object) -> Result<A> {
    arguments.retain(|_, value| !value.is_null());
    arguments.values_mut().for_each(make_whole);
    serde_json::from_value(Value::Object(arguments)).map_err(|wrong| {
        Error::invalid(format!("wrong arguments for {name}"))
            .with_source(wrong)
            .with_hint(format!("{name} takes {}", parameters(schema)))
    })
}

/// Makes an integer of a number that is one.
fn make_whole(value: &mut Value) {
    /// Above it not every integer has a number of its own.
    const MOST: f64 = 9_007_199_254_740_992.0;
    if let Some(number) = value.as_f64().filter(|_| value.is_f64())
        && number.fract() == 0.0
        && number.abs() < MOST
    {
        #[expect(clippy::cast_possible_truncation, reason = "it has no fraction and is in range")]
        let whole = number as i64;
        *value = whole.into();
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_defect_is_an_answer() {
        let reply = whatever_happens(async { panic!("on purpose") }).await;
        assert!(reply.is_error && reply.text.contains("defect"), "{}", reply.text);
    }

    #[test]
    fn numbers_without_a_fraction_are_integers() {
        let whole = |text: &str| {
            let mut value = serde_json::from_str(text).unwrap();
            make_whole(&mut value);
            value.to_string()
        };
        assert_eq!(
            [whole("30.0"), whole("-1e2"), whole("1.5"), whole("1e300"), whole("7")],
            ["30", "-100", "1.5", "1e+300", "7"]
        );
    }
}
