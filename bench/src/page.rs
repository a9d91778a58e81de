//! The page that keeps the tables: what was measured stands between two marks, what people wrote around them.

use std::io;
use std::path::Path;

const PAGE: &str = "docs/performance.md";
const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

/// Puts the text between the marks of the page.
pub(crate) fn write(root: &Path, measured: &str) -> io::Result<()> {
    let path = root.join(PAGE);
    let page = std::fs::read_to_string(&path)?;
    let page = replaced(&page, measured).ok_or_else(|| io::Error::other(format!("{PAGE} has no marks")))?;
    #[expect(clippy::disallowed_methods, reason = "a page of the repository need not be durable")]
    std::fs::write(&path, page)
}

fn replaced(page: &str, measured: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", measured.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_measured_is_replaced() {
        let page = format!("# P\n\nmine\n\n{BEGIN}\nold\n{END}\n\nalso mine\n");
        let new = replaced(&page, "new\n").unwrap();
        assert_eq!(new, format!("# P\n\nmine\n\n{BEGIN}\n\nnew\n\n{END}\n\nalso mine\n"));
        assert_eq!(replaced(&new, "new"), Some(new.clone()));
        assert_eq!(replaced("# P\n", "new"), None);
    }
}
