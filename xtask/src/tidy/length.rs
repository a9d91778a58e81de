//! Files and functions stay short enough to be read whole; tests are no exception.

use std::collections::BTreeSet;

use super::Finding;
use super::lexer::{Token, is_word, mask, tokens};
use super::tree::Tree;

const FILE_LINES_MAX: usize = 500;
/// Lines of the body that hold code; comments and blank lines are free.
const FUNCTION_LINES_MAX: usize = 60;

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.ending(".rs") {
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX {
            let message = format!("{lines} lines, at most {FILE_LINES_MAX}: split it by noun or verb");
            findings.push(Finding::new(&file.path, 0, message));
        }
        for function in functions(&tokens(&mask(&file.text))) {
            if function.lines > FUNCTION_LINES_MAX {
                let Function { name, line, lines } = function;
                let message = format!("fn {name} has {lines} lines, at most {FUNCTION_LINES_MAX}");
                findings.push(Finding::new(&file.path, line, message));
            }
        }
    }
    findings
}

struct Function<'a> {
    name: &'a str,
    line: usize,
    lines: usize,
}

/// Every function with a body, nested ones too.
fn functions<'a>(tokens: &[Token<'a>]) -> Vec<Function<'a>> {
    let mut found = Vec::new();
    let mut rest = tokens;
    while let [keyword, after @ ..] = rest {
        rest = after;
        if let ("fn", [name, signature @ ..]) = (keyword.text, after)
            && name.text.starts_with(is_word)
            && let Some(body) = body(signature)
        {
            let lines = code_lines(body);
            found.push(Function { name: name.text, line: keyword.line, lines });
        }
    }
    found
}

/// From the opening brace on; none for a declaration, which ends in a semicolon.
fn body<'s, 'a>(signature: &'s [Token<'a>]) -> Option<&'s [Token<'a>]> {
    let mut depth = 0_usize;
    for (index, token) in signature.iter().enumerate() {
        match (token.text, depth) {
            ("{", 0) => return signature.get(index..),
            (";", 0) => return None,
            // A brace inside brackets is a constant expression of a type.
            ("(" | "[" | "{", _) => depth += 1,
            (")" | "]" | "}", _) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// The lines with code between the brace that begins the tokens and the one that closes it.
fn code_lines(tokens: &[Token<'_>]) -> usize {
    let first = tokens.first().map_or(0, |token| token.line);
    let mut depth = 0_usize;
    let mut lines = BTreeSet::new();
    for token in tokens {
        match token.text {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            lines.remove(&token.line);
            break;
        }
        lines.insert(token.line);
    }
    lines.remove(&first);
    lines.len()
}

#[cfg(test)]
mod tests {
    use super::super::tree::findings_of;
    use super::*;

    fn function(lines: usize, filler: &str) -> String {
        format!("fn long(a: [u8; {{ 3 }}]) -> u8\n{{\n{}}}\n", filler.repeat(lines))
    }

    #[test]
    fn long_files_are_found() {
        let (fits, long) = ("// x\n".repeat(500), "// x\n".repeat(501));
        assert!(findings_of(check, &[("a.rs", &fits), ("a.md", &long)]).is_empty());
        assert_eq!(
            findings_of(check, &[("crates/a/tests/b.rs", &long)]),
            ["crates/a/tests/b.rs: 501 lines, at most 500: split it by noun or verb"]
        );
    }

    #[test]
    fn long_functions_are_found() {
        for filler in ["f();\n", "\"\n}}\n\";\n\n"] {
            let per_filler = filler.lines().filter(|line| !line.is_empty()).count();
            let fits = function(60 / per_filler, filler);
            assert!(findings_of(check, &[("a.rs", &fits)]).is_empty(), "{filler:?}");
            let long = function(60 / per_filler + 1, filler);
            let found = format!("a.rs:1: fn long has {} lines, at most 60", 60 + per_filler);
            assert_eq!(findings_of(check, &[("a.rs", &long)]), [found], "{filler:?}");
        }
    }

    #[test]
    fn comments_and_blank_lines_are_free() {
        let text = function(100, "// why\n\n/* {\n */\n");
        assert!(findings_of(check, &[("a.rs", &text)]).is_empty());
    }

    #[test]
    fn nested_functions_are_found_too() {
        let text = format!("mod m {{ impl X {{\n{}}} }}", function(61, "f();\n"));
        assert_eq!(findings_of(check, &[("a.rs", &text)]), ["a.rs:2: fn long has 61 lines, at most 60"]);
    }

    #[test]
    fn declarations_and_function_types_have_no_body() {
        let text = format!("trait T {{ fn a(); }}\ntype F = fn(u8);\nmod m {{\n{}}}", "x!();\n".repeat(70));
        assert!(findings_of(check, &[("a.rs", &text)]).is_empty());
    }
}
