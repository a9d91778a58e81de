//! The desk as an MCP server: one handler for both eras and both transports.

use std::borrow::Cow;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, ListToolsResult,
    PaginatedRequestParams, ProtocolVersion, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::Value;

use crate::call::{Call, WATCH_SECONDS_DEFAULT};
use crate::desk::{Desk, DeskError};
use crate::tools::TOOLS;
use crate::watch;

/// The revisions that the desk speaks, oldest first.
const VERSIONS: &[ProtocolVersion] = &[
    ProtocolVersion::V_2025_03_26,
    ProtocolVersion::V_2025_06_18,
    ProtocolVersion::V_2025_11_25,
    ProtocolVersion::V_2026_07_28,
];

impl ServerHandler for Desk {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("ticketdesk", env!("CARGO_PKG_VERSION")))
            .with_instructions("A customer-support desk: tickets, replies, refunds.")
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(VERSIONS)
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(TOOLS.clone()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        TOOLS.iter().find(|tool| tool.name == name).cloned()
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if self.get_tool(&request.name).is_none() {
            return Err(ErrorData::invalid_params(format!("unknown tool: {}", request.name), None));
        }
        let arguments = request.arguments.unwrap_or_default();
        let call = match Call::parse(&request.name, &arguments) {
            Ok(call) => call,
            Err(fault) => return Ok(refused(fault).into()),
        };
        let arguments = Value::Object(arguments);
        if let Call::WatchTicket { id, seconds } = call {
            if let Err(error) = self.check_ticket(id) {
                return answer(Err(error));
            }
            let seconds = seconds.unwrap_or(WATCH_SECONDS_DEFAULT);
            if !watch::watch(self, &arguments, seconds, &context).await {
                return Ok(refused("the watch was cancelled".to_owned()).into());
            }
        }
        answer(self.execute(&request.name, &call, &arguments))
    }
}

fn answer(result: Result<Value, DeskError>) -> Result<CallToolResponse, ErrorData> {
    match result {
        Ok(value) => Ok(CallToolResult::structured(value).into()),
        Err(error @ DeskError::NoSuchTicket(_)) => Ok(refused(error.to_string()).into()),
        Err(error @ DeskError::Store(_)) => Err(ErrorData::internal_error(error.to_string(), None)),
    }
}

/// An error that the model can read and mend, as opposed to one of the protocol.
fn refused(message: String) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(message)])
}
