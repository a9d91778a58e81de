//! Client ID metadata documents (draft-ietf-oauth-client-id-metadata-document): a program says under its own URL where its
//! browser may be sent back to.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use remit_core::json::object;
use remit_core::manifest::{CLIENT_URL_BYTES_MAX, CLIENTS_MAX};
use serde::Deserialize;

use crate::fetch::{FetchError, Fetcher};

/// How long a document is used before it is fetched again, in seconds.
pub const DOCUMENT_SECONDS: i64 = 300;
/// Most documents that are kept.
const DOCUMENTS_MAX: usize = 64;

/// What of a document counts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ClientMetadata {
    /// The URL of the document itself.
    pub client_id: String,
    /// Where the browser may be sent back to.
    pub redirect_uris: Vec<String>,
    /// How the client authenticates: there is no secret between us, so not at all.
    #[serde(default)]
    token_endpoint_auth_method: Option<String>,
}

/// Why a client is not known by its document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// It was not got.
    #[error("its metadata document was not got: {0}")]
    Fetch(#[from] FetchError),
    /// It does not say what it must.
    #[error("its metadata document is not one of this URL for a client without a secret")]
    Document,
}

/// Documents that were fetched, each until its end.
#[derive(Default)]
pub(crate) struct Documents(Mutex<HashMap<String, (ClientMetadata, i64)>>);

impl Documents {
    /// The document of a URL, fetched where it is not known or too old.
    pub(crate) async fn get(&self, fetcher: &Fetcher, url: &str, now: i64) -> Result<ClientMetadata, MetadataError> {
        if let Some((known, _)) = self.all().get(url).filter(|(_, until)| *until > now) {
            return Ok(known.clone());
        }
        let metadata = read(url, &fetcher.json(url).await?)?;
        let mut all = self.all();
        all.retain(|_, (_, until)| *until > now);
        if all.len() < DOCUMENTS_MAX {
            all.insert(url.to_owned(), (metadata.clone(), now.saturating_add(DOCUMENT_SECONDS)));
        }
        Ok(metadata)
    }

    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<String, (ClientMetadata, i64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a document that was got from `url`.
pub fn read(url: &str, bytes: &[u8]) -> Result<ClientMetadata, MetadataError> {
    let metadata: ClientMetadata = object(bytes).ok_or(MetadataError::Document)?;
    let open = metadata.token_endpoint_auth_method.as_deref().is_none_or(|method| method == "none");
    let uris = &metadata.redirect_uris;
    let bounded = uris.len() <= CLIENTS_MAX && uris.iter().all(|uri| uri.len() <= CLIENT_URL_BYTES_MAX);
    if metadata.client_id == url && open && bounded { Ok(metadata) } else { Err(MetadataError::Document) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Break: take one client's document for another's, or a client that has a secret for one that has none.
    #[test]
    fn a_document_is_of_its_own_url_and_of_a_client_without_a_secret() {
        let url = "https://app.example/client.json";
        let good = format!(r#"{{"client_id":"{url}","redirect_uris":["https://app.example/cb"],"client_name":"x"}}"#);
        assert_eq!(read(url, good.as_bytes()).unwrap().redirect_uris, ["https://app.example/cb"]);
        assert!(read(url, good.replace("\"x\"", "\"x\",\"token_endpoint_auth_method\":\"none\"").as_bytes()).is_ok());
        let many = format!("[{}\"x\"]", "\"x\",".repeat(CLIENTS_MAX));
        for bad in [
            good.replace("/client.json", "/other.json"),
            good.replace("\"x\"", "\"x\",\"token_endpoint_auth_method\":\"client_secret_basic\""),
            good.replace("[\"https://app.example/cb\"]", &many),
            good.replace("redirect_uris", "uris"),
            format!("[{good}]"),
            "[\"https://app.example/client.json\",[],null]".into(),
            String::new(),
        ] {
            assert_eq!(read(url, bad.as_bytes()), Err(MetadataError::Document), "{bad}");
        }
    }
}
