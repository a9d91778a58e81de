//! The fixture as an MCP server: one handler for both eras.
#![expect(deprecated, reason = "the suite still asks for logging")]

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams, CompleteRequestParams, CompleteResult,
    GetPromptRequestParams, GetPromptResponse, GetPromptResult, GetTaskParams, GetTaskResult, Implementation,
    ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
    ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, ServerCapabilities, ServerConfig,
    ServerNotification, SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter, Tool,
    UnsubscribeRequestParams, UpdateTaskParams,
};
use rmcp::service::{RequestContext, SubscriptionContext};
use rmcp::task_manager::TaskManager;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::ask::{self, Progress, States, read, result};
use crate::tasks::Job;
use crate::{content, menu};

/// Between two messages of a tool that works for a while.
const PAUSE: Duration = Duration::from_millis(50);
/// Changes of lists that a slow stream may be behind.
const CHANGES_MAX: usize = 16;

/// A list that is said to have changed.
#[derive(Debug, Clone, Copy)]
enum Change {
    Tools,
    Prompts,
}

/// The server; every session has a copy of the same.
#[derive(Clone)]
pub(crate) struct Fixture {
    states: Arc<States>,
    tasks: TaskManager,
    changes: broadcast::Sender<Change>,
}

impl Default for Fixture {
    fn default() -> Self {
        Self { states: Arc::default(), tasks: TaskManager::new(), changes: broadcast::channel(CHANGES_MAX).0 }
    }
}

impl Fixture {
    /// A tool that does something beside answering.
    async fn act(&self, name: &str, context: &RequestContext<RoleServer>) -> Result<bool, ErrorData> {
        match name {
            "test_tool_with_logging" => {
                for words in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
                    log(context, words).await?;
                    tokio::time::sleep(PAUSE).await;
                }
            }
            "test_logging_tool" => {
                if context.meta.log_level().is_some() {
                    log(context, "asked for").await?;
                }
            }
            "test_tool_with_progress" => work(context).await?,
            "test_reconnection" => tokio::time::sleep(PAUSE).await,
            // Nobody may be listening.
            "test_trigger_tool_change" => drop(self.changes.send(Change::Tools)),
            "test_trigger_prompt_change" => drop(self.changes.send(Change::Prompts)),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Says three times how far it has come, where that was asked for.
async fn work(context: &RequestContext<RoleServer>) -> Result<(), ErrorData> {
    for progress in [0, 50, 100] {
        if let Some(token) = context.meta.get_progress_token() {
            let params = json!({ "progressToken": token, "progress": progress, "total": 100 });
            notify(context, json!({ "method": "notifications/progress", "params": params })).await?;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

async fn log(context: &RequestContext<RoleServer>, words: &str) -> Result<(), ErrorData> {
    let params = json!({ "level": "info", "logger": "conformance", "data": words });
    notify(context, json!({ "method": "notifications/message", "params": params })).await
}

async fn notify(context: &RequestContext<RoleServer>, notification: Value) -> Result<(), ErrorData> {
    let notification: ServerNotification = read(notification)?;
    // A client that went away hears nothing.
    drop(context.peer.send_notification(notification).await);
    Ok(())
}

impl ServerHandler for Fixture {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_completions()
            .enable_logging()
            .enable_tasks()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("conformance", env!("CARGO_PKG_VERSION")))
            .with_instructions("A fixture for the conformance suite.")
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        result(json!({ "tools": menu::tools() }))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        let tools: Vec<Tool> = read(menu::tools()).unwrap_or_default();
        tools.into_iter().find(|tool| tool.name == name)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        if let Some(answer) = content::of_tool(&request.name, &arguments) {
            return result::<CallToolResult>(answer).map(Into::into);
        }
        if self.act(&request.name, &context).await? {
            return result::<CallToolResult>(content::said("done")).map(Into::into);
        }
        if let Some(job) = Job::of(&request.name, &arguments) {
            let declared = context.client_capabilities().is_some_and(|client| client.supports_tasks());
            return match if declared { None } else { job.at_once().await } {
                Some(done) => done,
                None => Ok(job.begin(&self.tasks)),
            };
        }
        let Some(questions) = ask::of_tool(&request.name, &arguments) else {
            return Err(ErrorData::invalid_params(format!("unknown tool: {}", request.name), None));
        };
        let came = (request.input_responses, request.request_state);
        match ask::progress(&request.name, questions, &self.states, came, &context).await? {
            Progress::Asks(asks) => Ok(asks.into()),
            Progress::Answered(answers) if request.name == "test_tool_with_task" => {
                Ok(Job::Say(format!("The answers: {answers}")).begin(&self.tasks))
            }
            Progress::Answered(answers) => {
                result::<CallToolResult>(content::said(&format!("The answers: {answers}"))).map(Into::into)
            }
        }
    }

    async fn list_prompts(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        result(json!({ "prompts": menu::prompts() }))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        if let Some(prompt) = content::of_prompt(&request.name, &request.arguments.unwrap_or_default()) {
            return result::<GetPromptResult>(prompt).map(Into::into);
        }
        let Some(questions) = ask::of_prompt(&request.name) else {
            return Err(ErrorData::invalid_params(format!("unknown prompt: {}", request.name), None));
        };
        let came = (request.input_responses, request.request_state);
        match ask::progress(&request.name, questions, &self.states, came, &context).await? {
            Progress::Asks(asks) => Ok(asks.into()),
            Progress::Answered(answers) => {
                let words = json!({ "type": "text", "text": format!("The answers: {answers}") });
                result::<GetPromptResult>(json!({ "messages": [{ "role": "user", "content": words }] })).map(Into::into)
            }
        }
    }

    async fn list_resources(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        result(json!({ "resources": menu::resources() }))
    }

    async fn list_resource_templates(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        result(json!({ "resourceTemplates": menu::templates() }))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        match content::of_resource(&request.uri) {
            Some(contents) => result::<ReadResourceResult>(contents).map(Into::into),
            None => Err(ErrorData::resource_not_found("no such resource", Some(json!({ "uri": request.uri })))),
        }
    }

    async fn subscribe(
        &self,
        _request: SubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(
        &self,
        _request: UnsubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.changes.subscribe();
        loop {
            let change = tokio::select! {
                () = context.cancelled() => return Ok(()),
                change = changes.recv() => change,
            };
            // What is not in the filter is not sent, and a client that went away hears nothing.
            match change {
                Ok(Change::Tools) => drop(context.sink().notify_tool_list_changed().await),
                Ok(Change::Prompts) => drop(context.sink().notify_prompt_list_changed().await),
                Err(_) => {}
            }
        }
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        self.tasks.get_task(&request.task_id).map(GetTaskResult::new)
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.tasks.update_task(&request.task_id, request.input_responses)
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.tasks.cancel_task(&request.task_id)
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let values = [format!("{} one", request.argument.value), format!("{} two", request.argument.value)];
        result(json!({ "completion": { "values": values, "total": values.len(), "hasMore": false } }))
    }

    async fn set_level(
        &self,
        _request: SetLevelRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }
}
