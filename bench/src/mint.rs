//! Tokens of the real authority: what a run needs before its first call, and how long the authority takes for one.

use std::io;
use std::time::{Duration, Instant};

use crate::home::{Home, Run};
use crate::sample::Sample;
use crate::wire::Connection;

/// Asks `POST /token` again and again.
pub(crate) struct Minter<'a> {
    home: &'a Home,
    run: &'a Run,
    resource: String,
    connection: Connection,
}

impl<'a> Minter<'a> {
    pub(crate) async fn new(home: &'a Home, run: &'a Run, resource: &str) -> io::Result<Self> {
        let connection = Connection::open(home.authority()).await?;
        Ok(Self { home, run, resource: resource.to_owned(), connection })
    }

    /// A token, and how long the answer took. What the client signs for it is not counted.
    pub(crate) async fn mint(&mut self) -> io::Result<(String, Duration)> {
        let issuer = self.home.issuer();
        let url = format!("{issuer}/token");
        let assertion = self.run.key.assertion(&self.run.instance, &issuer);
        let proof = self.run.key.proofs(1, &url, None).pop().unwrap_or_default();
        let body = format!(
            "grant_type=client_credentials&client_assertion_type={}&client_assertion={assertion}&resource={}",
            escaped("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            escaped(&self.resource)
        );
        let request = format!(
            "POST /token HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-www-form-urlencoded\r\ndpop: {proof}\r\n\
             content-length: {}\r\n\r\n{body}",
            self.home.authority(),
            body.len()
        );
        let began = Instant::now();
        let answer = self.connection.exchange(request.as_bytes()).await?;
        let took = began.elapsed();
        let answer = answer.json()?;
        let token = answer.get("access_token").and_then(serde_json::Value::as_str);
        token.map(|token| (token.to_owned(), took)).ok_or_else(|| io::Error::other(format!("no token: {answer}")))
    }

    pub(crate) async fn measure(&mut self, count: usize) -> io::Result<Sample> {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            times.push(self.mint().await?.1);
        }
        Ok(Sample::new(times))
    }
}

/// For a form: everything but letters and digits.
fn escaped(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut all, byte| {
        if byte.is_ascii_alphanumeric() {
            all.push(byte.into());
        } else {
            // Writing to a String cannot fail.
            let _infallible = write!(all, "%{byte:02X}");
        }
        all
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_form_holds_no_separator_of_its_own() {
        assert_eq!(super::escaped("urn:a b&c=1"), "urn%3Aa%20b%26c%3D1");
    }
}
