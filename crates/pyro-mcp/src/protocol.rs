//! The server as clients see it. The only module that knows rmcp, which moves fast.

use crate::call::{Call, Permissions};
use crate::lines;
use crate::profile::Profile;
use crate::progress::Progress;
use crate::reply::Reply;
use crate::tool::{Effect, Tool};
use crate::tools;
use pyro_host::error::{Context, Error, ErrorKind, Result};
use pyro_host::pyro::Pyro;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, ListToolsResult,
    PaginatedRequestParams, ProgressNotificationParam, ProgressToken, ServerCapabilities, ServerConfig,
    ToolAnnotations,
};
use rmcp::service::{Peer, RequestContext, RoleServer, ServerInitializeError, ServiceExt};
use rmcp::{ErrorData, ServerHandler};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// Progress is told this often at most, and this often at least of what says nothing itself.
const TELL_EVERY: Duration = Duration::from_millis(200);
const TELL_AT_LEAST_EVERY: Duration = Duration::from_secs(5);

/// Between the client's lines and the SDK.
const PIPE_BYTES: usize = 64 * 1024;

/// An MCP server over the façade. It has no state: what it makes is found again by its id, also by another one.
#[derive(Debug, Clone)]
pub struct Server {
    pyro: Pyro,
    profile: Profile,
    tools: Vec<Tool>,
    permissions: Arc<Permissions>,
}

impl Server {
    /// Offers the tools of a profile.
    pub fn new(pyro: Pyro, profile: Profile) -> Self {
        Self { pyro, profile, tools: tools::of(profile), permissions: Arc::default() }
    }

    /// The same with what the user lets models decide. Without, they decide nothing that leads out of the isolation.
    #[must_use]
    pub fn with_permissions(mut self, permissions: Permissions) -> Self {
        self.permissions = Arc::new(permissions);
        self
    }

    /// Serves one client on standard input and output until it closes the input. Commands under way have a moment to end
    /// then; machines of `vm_run` end with the server, workspaces live on.
    ///
    /// # Errors
    /// `io` when the client does not speak MCP.
    pub async fn serve_stdio(self) -> Result<()> {
        let (input, output) = rmcp::transport::io::stdio_pipes();
        self.serve(input, output).await
    }

    /// The same on any two streams.
    ///
    /// # Errors
    /// As [`Server::serve_stdio`].
    pub async fn serve(
        self,
        input: impl AsyncRead + Send + Unpin + 'static,
        output: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Result<()> {
        let (to_sdk, from_client) = tokio::io::duplex(PIPE_BYTES);
        let (to_client, from_sdk) = tokio::io::duplex(PIPE_BYTES);
        let (answers, answered) = mpsc::channel(1);
        let reading = tokio::spawn(lines::pass_in(input, to_sdk, answers));
        let writing = tokio::spawn(lines::pass_out(from_sdk, answered, output));
        let served = self.serve_sdk(from_client, to_client).await;
        reading.abort();
        // A client that is gone takes nothing any more.
        let _ = writing.await;
        served
    }

    async fn serve_sdk(self, input: DuplexStream, output: DuplexStream) -> Result<()> {
        let running = match ServiceExt::serve(self, (input, output)).await {
            Ok(running) => running,
            Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
            Err(error) => {
                let message = "could not agree with the MCP client on how to speak";
                return Err(Error::new(ErrorKind::Io, message).with_source(error));
            }
        };
        running.waiting().await.map(drop).failing(ErrorKind::Internal, || "the MCP server broke off".into())
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let mut name = Implementation::new("pyro", env!("CARGO_PKG_VERSION"));
        name.title = Some("pyro: disposable Linux machines".into());
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(name)
            .with_instructions(self.profile.instructions())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> std::result::Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(
            self.tools.iter().map(|tool| described(tool, self.permissions.host_compat)).collect(),
        ))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> std::result::Result<CallToolResponse, ErrorData> {
        let Some(tool) = self.tools.iter().find(|tool| tool.name == request.name) else {
            let names: Vec<&str> = self.tools.iter().map(|tool| tool.name).collect();
            let message = format!("there is no tool `{}`; there are: {}", request.name, names.join(", "));
            return Err(ErrorData::invalid_params(message, None));
        };
        let listener =
            context.meta.get_progress_token().map(|token| Listener::new(context.peer.clone(), token));
        let (progress, told) = mpsc::channel(1);
        let progress = Progress::to(progress);
        let call = Call { pyro: self.pyro.clone(), progress, permissions: Arc::clone(&self.permissions) };
        let doing = tool.call(call, request.arguments.unwrap_or_default());
        tokio::select! {
            reply = telling(doing, told, listener) => Ok(answer(reply).into()),
            // The future of the call is dropped with this, and ends what it started. Nobody reads the answer.
            () = context.ct.cancelled() => Err(ErrorData::internal_error("cancelled", None)),
        }
    }
}

/// A tool as it is listed. One that may run a command on this host may change anything; one that has a guest run something
/// reaches as far as the guest's network.
fn described(tool: &Tool, may_use_host: bool) -> rmcp::model::Tool {
    let reads = tool.effect == Effect::Reads;
    let takes = |name| tool.input_schema.get("properties").is_some_and(|all| all.get(name).is_some());
    let runs_on_host = may_use_host && takes("allow_host_compat");
    let annotations = ToolAnnotations::new()
        .read_only(reads)
        .destructive(runs_on_host || matches!(tool.effect, Effect::Changes | Effect::ChangesOnce))
        .idempotent(reads || tool.effect == Effect::ChangesOnce)
        .open_world(takes("network") || takes("command") || takes("input"));
    rmcp::model::Tool::new(tool.name, tool.description, tool.input_schema.clone())
        .with_raw_output_schema(tool.output_schema.clone())
        .with_annotations(annotations)
}

fn answer(reply: Reply) -> CallToolResult {
    let content = vec![ContentBlock::text(reply.text)];
    let mut result =
        if reply.is_error { CallToolResult::error(content) } else { CallToolResult::success(content) };
    result.structured_content = Some(reply.structured);
    result
}

/// Waits for the end of a call and passes its progress on to who asked for it.
async fn telling(
    doing: impl Future<Output = Reply>,
    mut told: mpsc::Receiver<String>,
    mut listener: Option<Listener>,
) -> Reply {
    let mut doing = pin!(doing);
    let mut late = interval_at(Instant::now() + TELL_AT_LEAST_EVERY, TELL_AT_LEAST_EVERY);
    late.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            reply = &mut doing => return reply,
            Some(message) = told.recv() => if let Some(listener) = &mut listener {
                listener.tell(message).await;
            },
            _ = late.tick() => if let Some(listener) = &mut listener {
                listener.tell_again().await;
            },
        }
    }
}

/// A client that asked for the progress of a call.
struct Listener {
    peer: Peer<RoleServer>,
    token: ProgressToken,
    begun: Instant,
    told: Option<Instant>,
    message: String,
}

impl Listener {
    fn new(peer: Peer<RoleServer>, token: ProgressToken) -> Self {
        Self { peer, token, begun: Instant::now(), told: None, message: "it runs".into() }
    }

    /// Tells it, unless something was told a moment ago.
    async fn tell(&mut self, message: String) {
        self.message = message;
        if self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            self.send(self.message.clone()).await;
        }
    }

    /// Tells the same again, with the time.
    async fn tell_again(&mut self) {
        let seconds = self.begun.elapsed().as_secs();
        self.send(format!("{} ({seconds} s)", self.message)).await;
    }

    /// The number is the seconds since the beginning: it has to grow, and nobody knows how far.
    async fn send(&mut self, message: String) {
        self.told = Some(Instant::now());
        let seconds = self.begun.elapsed().as_secs_f64();
        let progress = ProgressNotificationParam::new(self.token.clone(), seconds).with_message(message);
        if let Err(error) = self.peer.notify_progress(progress).await {
            tracing::debug!("could not tell the MCP client of progress: {error}");
        }
    }
}
