//! The pages that keep the tables: what was measured stands between two marks, what people wrote around them.

use std::io;
use std::path::Path;

/// Puts the text between the marks of that name on the page.
pub(crate) fn write(root: &Path, (page, mark): (&str, &str), measured: &str) -> io::Result<()> {
    let path = root.join(page);
    let text = std::fs::read_to_string(&path)?;
    let text = replaced(&text, mark, measured);
    let page = text.ok_or_else(|| io::Error::other(format!("{page} has no marks of `{mark}`")))?;
    #[expect(clippy::disallowed_methods, reason = "a page of the repository need not be durable")]
    std::fs::write(&path, page)
}

fn replaced(page: &str, mark: &str, measured: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {mark}: begin -->"), format!("<!-- {mark}: end -->"));
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n\n{}\n\n{end}{after}", measured.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_measured_is_replaced() {
        let page = |one: &str| {
            format!("# P\n\nmine\n\n<!-- a: begin -->{one}<!-- a: end -->\n\n<!-- b: begin -->\nold\n<!-- b: end -->\n")
        };
        let new = replaced(&page("\nold\n"), "a", "new\n").unwrap();
        assert_eq!(new, page("\n\nnew\n\n"));
        assert_eq!(replaced(&new, "a", "new"), Some(new.clone()));
        assert_eq!(replaced("# P\n", "a", "new"), None);
    }
}
