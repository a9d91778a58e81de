//! Tools whose work goes on after their answer, as tasks (the extension of SEP-2663).

use std::time::Duration;

use rmcp::ErrorData;
use rmcp::model::{CallToolResponse, CallToolResult, CreateTaskResult};
use rmcp::task_manager::{TaskContext, TaskExit, TaskManager, TaskOptions};
use serde_json::{Map, Value, json};

use crate::ask::{form, read, result};
use crate::content::{failed, said};

/// The longest that a client is kept that knows no tasks.
const AT_ONCE_MAX: Duration = Duration::from_millis(500);

/// What a task does.
#[derive(Debug, Clone)]
pub(crate) enum Job {
    /// It takes its time.
    Sleep(Duration),
    /// It ends with a failure that a model can read.
    Fail,
    /// It ends with an error of the protocol.
    Break,
    /// It asks these, all at once.
    Ask(Vec<&'static str>),
    /// It says what was known when it began.
    Say(String),
}

impl Job {
    /// Of a tool that asks nothing before it begins; `None` where it begins none.
    pub(crate) fn of(tool: &str, arguments: &Map<String, Value>) -> Option<Self> {
        let seconds = arguments.get("seconds").and_then(Value::as_u64).unwrap_or_default();
        Some(match tool {
            "slow_compute" => Self::Sleep(Duration::from_secs(seconds)),
            "failing_job" => Self::Fail,
            "protocol_error_job" => Self::Break,
            "confirm_delete" => Self::Ask(vec!["confirm"]),
            "multi_input" => Self::Ask(vec!["first", "second"]),
            _ => return None,
        })
    }

    /// Done within the call, for a client that knows no tasks; `None` where that is not possible.
    pub(crate) async fn at_once(&self) -> Option<Result<CallToolResponse, ErrorData>> {
        let Self::Sleep(time) = self else { return None };
        tokio::time::sleep(*time.min(&AT_ONCE_MAX)).await;
        Some(result::<CallToolResult>(said("computed")).map(Into::into))
    }

    /// Begun as a task.
    pub(crate) fn begin(self, tasks: &TaskManager) -> CallToolResponse {
        let task = tasks.spawn(TaskOptions::new(), move |context| Box::pin(self.run(context)));
        CreateTaskResult::new(task).into()
    }

    async fn run(self, context: TaskContext) -> Result<CallToolResult, TaskExit> {
        let answer = match self {
            Self::Sleep(time) => {
                tokio::select! {
                    () = context.cancelled() => return Err(TaskExit::Cancelled),
                    () = tokio::time::sleep(time) => said("computed"),
                }
            }
            Self::Fail => failed("This job fails, always"),
            Self::Break => return Err(ErrorData::internal_error("this job breaks, always", None).into()),
            Self::Ask(keys) => ask(&context, keys).await?,
            Self::Say(words) => said(&words),
        };
        Ok(result(answer)?)
    }
}

/// The questions are open together, and may be answered one by one.
async fn ask(context: &TaskContext, keys: Vec<&'static str>) -> Result<Value, TaskExit> {
    let mut open = tokio::task::JoinSet::new();
    for key in keys {
        let question = read(form(&format!("Is it so ({key})?"), &json!({ "confirm": { "type": "boolean" } })))?;
        let context = context.clone();
        open.spawn(async move { context.request_input(key, question).await });
    }
    let mut answers = Vec::new();
    while let Some(answer) = open.join_next().await {
        answers.push(answer.map_err(|error| ErrorData::internal_error(error.to_string(), None))??);
    }
    Ok(said(&format!("The answers: {}", Value::from(answers))))
}
