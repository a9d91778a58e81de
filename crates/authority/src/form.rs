//! The parameters of a token request, as its body has them (RFC 6749 section 3.2).
//!
//! **Invariant:** a parameter stands there once, or the request is refused: no two readers see two values.

use std::collections::BTreeMap;

/// Largest body of a request, in bytes.
pub const FORM_BYTES_MAX: usize = 64 * 1024;
/// Most resources in one request.
pub const RESOURCES_MAX: usize = 32;

/// Why a form is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// A parameter stands there twice.
    #[error("a parameter stands there twice")]
    Twice,
    /// More than [`RESOURCES_MAX`] resources.
    #[error("too many resources")]
    Resources,
}

/// Parameters, each once but `resource` (RFC 8707 section 2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    parameters: BTreeMap<String, String>,
    /// Every `resource`, in the order in which they stand there.
    pub resources: Vec<String>,
}

impl Form {
    /// Reads a body of the media type `application/x-www-form-urlencoded`.
    pub fn read(body: &[u8]) -> Result<Self, FormError> {
        let mut form = Self { parameters: BTreeMap::new(), resources: Vec::new() };
        for (name, value) in form_urlencoded::parse(body).into_owned() {
            if name == "resource" {
                form.resources.push(value);
            } else if form.parameters.insert(name, value).is_some() {
                return Err(FormError::Twice);
            }
        }
        if form.resources.len() > RESOURCES_MAX { Err(FormError::Resources) } else { Ok(form) }
    }

    /// Gives a parameter a value, where it has none.
    pub(crate) fn unless_given(&mut self, name: &str, value: &str) {
        if self.one(name).is_none() {
            self.parameters.insert(name.to_owned(), value.to_owned());
        }
    }

    /// A parameter's value; one without a value counts as absent.
    pub fn one(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_has_one_value() {
        let form = Form::read(b"grant_type=client_credentials&scope=&a+b=%C3%A4%2B&resource=x&resource=y").unwrap();
        assert_eq!((form.one("grant_type"), form.one("a b")), (Some("client_credentials"), Some("ä+")));
        assert_eq!((form.one("scope"), form.one("resource")), (None, None));
        assert_eq!(form.resources, ["x", "y"]);
        for twice in ["a=1&a=1", "a=1&%61=2", "a&b&a", "a=&a=1"] {
            assert_eq!(Form::read(twice.as_bytes()), Err(FormError::Twice), "{twice}");
        }
    }

    /// Break: look up as many resources as a request names.
    #[test]
    fn there_are_so_many_resources_and_no_more() {
        let read = |count: usize| Form::read("resource=x&".repeat(count).as_bytes());
        assert_eq!(read(RESOURCES_MAX).unwrap().resources.len(), RESOURCES_MAX);
        assert_eq!(read(RESOURCES_MAX + 1), Err(FormError::Resources));
    }
}
