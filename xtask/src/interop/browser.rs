//! A browser as far as a consent needs one: it follows redirects on this machine, keeps cookies, and sends a form.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

const ANSWER_MAX: Duration = Duration::from_secs(20);
const REDIRECTS_MAX: usize = 16;
/// Largest page, in bytes.
const PAGE_BYTES_MAX: u64 = 1 << 20;

/// What was answered.
pub(crate) struct Page {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) text: String,
}

impl Page {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// One person's browser.
#[derive(Default)]
pub(crate) struct Browser {
    cookies: BTreeMap<(String, String), String>,
}

impl Browser {
    /// Opens a URL, and whatever that leads to.
    pub(crate) fn open(&mut self, url: &str) -> io::Result<Page> {
        let mut url = url.to_owned();
        for _redirect in 0..REDIRECTS_MAX {
            let page = self.ask(&url)?;
            match page.header("location") {
                Some(next) if (300..400).contains(&page.status) => url = joined(&url, next)?,
                _ => return Ok(page),
            }
        }
        Err(io::Error::other("redirects without an end"))
    }

    fn ask(&mut self, url: &str) -> io::Result<Page> {
        let (host, path) = parts(url)?;
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .filter(|((of, _), _)| *of == host)
            .map(|((_, name), value)| format!("{name}={value}"))
            .collect();
        let cookie = if cookies.is_empty() { String::new() } else { format!("cookie: {}\r\n", cookies.join("; ")) };
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: {host}\r\naccept: */*\r\n{cookie}connection: close\r\n\r\n");
        let page = exchange(&host, &request)?;
        for (_, cookie) in page.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let pair = cookie.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                self.cookies.insert((host.clone(), name.trim().to_owned()), value.trim().to_owned());
            }
        }
        Ok(page)
    }
}

fn exchange(host: &str, request: &str) -> io::Result<Page> {
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.take(PAGE_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("no answer of HTTP"))?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(':'));
    Ok(Page {
        status: status.ok_or_else(|| io::Error::other("no status"))?,
        headers: headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect(),
        text: body.to_owned(),
    })
}

/// Host and path of a URL of this machine.
fn parts(url: &str) -> io::Result<(String, String)> {
    let rest = url.strip_prefix("http://").ok_or_else(|| io::Error::other(format!("not opened here: {url}")))?;
    let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok((host.to_owned(), path))
}

fn joined(url: &str, next: &str) -> io::Result<String> {
    if next.contains("://") {
        return Ok(next.to_owned());
    }
    let (host, _) = parts(url)?;
    Ok(format!("http://{host}{next}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_host_and_a_path() {
        for (url, host, path) in [
            ("http://127.0.0.1:1/a?b=c", "127.0.0.1:1", "/a?b=c"),
            ("http://localhost:1", "localhost:1", "/"),
            ("http://localhost:1?x", "localhost:1", "/?x"),
        ] {
            assert_eq!(parts(url).unwrap(), (host.to_owned(), path.to_owned()));
        }
        assert!(parts("https://a.example/").is_err());
        assert_eq!(joined("http://h:1/a/b", "/c").unwrap(), "http://h:1/c");
    }
}
