//! Whether authority and gateway are well, by their own word.

use std::time::Duration;

use serde_json::Value;

use crate::error::CliError;
use crate::http::Http;

/// The longest that either is waited for.
const DEADLINE: Duration = Duration::from_secs(3);

/// What one of them says, or why it says nothing.
pub(crate) enum Health {
    Well(Value),
    Unwell(Value),
    Silent(String),
}

/// Asks `<url>/healthz`.
pub(crate) async fn ask(http: &Http, url: &str) -> Health {
    match http.get(&format!("{url}/healthz"), DEADLINE).await {
        Err(error) => Health::Silent(error.to_string()),
        Ok(answer) => {
            let said = serde_json::from_slice(&answer.body).unwrap_or_default();
            if answer.status.is_success() { Health::Well(said) } else { Health::Unwell(said) }
        }
    }
}

/// The same, for commands that have nothing else to wait for.
pub(crate) fn ask_blocking(urls: &[&str]) -> Result<Vec<Health>, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::unevaluated(error, "try again"))?;
    Ok(runtime.block_on(async {
        let http = Http::new();
        let mut found = Vec::new();
        for url in urls {
            found.push(ask(&http, url).await);
        }
        found
    }))
}

impl Health {
    pub(crate) fn is_well(&self) -> bool {
        matches!(self, Self::Well(_))
    }

    pub(crate) fn json(&self) -> Value {
        match self {
            Self::Well(said) => serde_json::json!({ "ok": true, "says": said }),
            Self::Unwell(said) => serde_json::json!({ "ok": false, "says": said }),
            Self::Silent(why) => serde_json::json!({ "ok": false, "why": why }),
        }
    }

    pub(crate) fn said(&self) -> Option<&Value> {
        match self {
            Self::Well(said) | Self::Unwell(said) => Some(said),
            Self::Silent(_) => None,
        }
    }
}
