//! As much of Rust's lexical grammar as the rules need: what is code, what is comment or literal.

use std::str::Chars;

/// A word or a punctuation mark of the code, with its line from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) line: usize,
}

/// The source without its comments, and with the insides of literals replaced by underscores;
/// every line stays where it was.
pub(crate) fn mask(source: &str) -> String {
    let mut lexer = Lexer { rest: source.chars(), masked: String::with_capacity(source.len()) };
    while lexer.step() {}
    lexer.masked
}

/// The tokens of a masked source: words, and everything else one character at a time.
pub(crate) fn tokens(masked: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for (index, text) in masked.lines().enumerate() {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let length =
                if is_word(first) { rest.find(|c| !is_word(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
            let Some((text, after)) = rest.split_at_checked(length) else {
                break;
            };
            tokens.push(Token { text, line: index + 1 });
            rest = after.trim_start();
        }
    }
    tokens
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

struct Lexer<'a> {
    rest: Chars<'a>,
    masked: String,
}

const COMMENT: char = ' ';
const LITERAL: char = '_';

impl Lexer<'_> {
    /// Takes the next piece; false at the end.
    fn step(&mut self) -> bool {
        let rest = self.rest.as_str();
        if rest.starts_with("//") {
            self.hide_while(COMMENT, |c| c != '\n');
        } else if rest.starts_with("/*") {
            self.block_comment();
        } else if let Some(hashes) = self.raw_string_hashes() {
            self.raw_string(hashes);
        } else if rest.starts_with('"') {
            self.quoted('"');
        } else if is_char_literal(rest) {
            self.quoted('\'');
        } else {
            return self.keep();
        }
        true
    }

    fn keep(&mut self) -> bool {
        let next = self.rest.next();
        self.masked.extend(next);
        next.is_some()
    }

    fn hide(&mut self, filler: char) -> Option<char> {
        let next = self.rest.next();
        self.masked.extend(next.map(|c| if c == '\n' { c } else { filler }));
        next
    }

    fn hide_while(&mut self, filler: char, wanted: impl Fn(char) -> bool) {
        while self.rest.clone().next().is_some_and(&wanted) {
            self.hide(filler);
        }
    }

    /// Block comments nest.
    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            let rest = self.rest.as_str();
            let (open, close) = (rest.starts_with("/*"), rest.starts_with("*/"));
            if open || close {
                self.hide(COMMENT);
                depth = if open { depth + 1 } else { depth - 1 };
            }
            if self.hide(COMMENT).is_none() || depth == 0 {
                return;
            }
        }
    }

    /// How many hashes guard the raw string that begins here, if one does.
    fn raw_string_hashes(&self) -> Option<usize> {
        if self.masked.ends_with(is_word) {
            return None;
        }
        let rest = self.rest.as_str();
        let after = ["r", "br", "cr"].iter().find_map(|prefix| rest.strip_prefix(prefix))?;
        let quoted = after.trim_start_matches('#');
        quoted.starts_with('"').then_some(after.len() - quoted.len())
    }

    fn raw_string(&mut self, hashes: usize) {
        let end = format!("\"{}", "#".repeat(hashes));
        self.hide_while(LITERAL, |c| c != '"');
        self.hide(LITERAL);
        while !self.rest.as_str().starts_with(&end) && self.hide(LITERAL).is_some() {}
        for _ in end.chars() {
            self.hide(LITERAL);
        }
    }

    fn quoted(&mut self, quote: char) {
        self.hide(LITERAL);
        while let Some(c) = self.hide(LITERAL) {
            if c == '\\' {
                self.hide(LITERAL);
            } else if c == quote {
                return;
            }
        }
    }
}

/// A quote begins a character if it is escaped or closed after one character; else a lifetime.
fn is_char_literal(rest: &str) -> bool {
    let mut chars = rest.chars();
    chars.next() == Some('\'') && (chars.next() == Some('\\') || chars.next() == Some('\''))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, words: &[&str]) {
        let masked = mask(source);
        assert_eq!(masked.lines().count(), source.lines().count(), "{source:?} → {masked:?}");
        let found: Vec<&str> = tokens(&masked)
            .iter()
            .map(|token| token.text)
            .filter(|text| text.starts_with(char::is_alphabetic))
            .collect();
        assert_eq!(found, words, "{source:?} → {masked:?}");
    }

    #[test]
    fn only_code_is_left() {
        check("a // b\nc", &["a", "c"]);
        check("a /* b /* c */ d\n */ e", &["a", "e"]);
        check("a /* never closed", &["a"]);
        check(r#"a "b \" c" d"#, &["a", "d"]);
        check("a \"b\n// c\n\" d", &["a", "d"]);
        check(r##"a r#"b " c"# d"##, &["a", "d"]);
        check(r#"a br"b \" c"#, &["a", "c"]);
        check("a b'x' c", &["a", "b___", "c"]);
        check(r"a '\'' b '\u{41}' c", &["a", "b", "c"]);
        check("a '\"' b \"'\" c", &["a", "b", "c"]);
        check("fn a<'b>(c: &'b str, d: &'static u8)", &["fn", "a", "b", "c", "b", "str", "d", "static", "u8"]);
        check("r#fn r", &["r", "fn", "r"]);
        check("'/' '/' a", &["a"]);
    }

    #[test]
    fn tokens_know_their_line() {
        let tokens = tokens("a\n\n  b{");
        let lines: Vec<_> = tokens.iter().map(|token| (token.text, token.line)).collect();
        assert_eq!(lines, [("a", 1), ("b", 3), ("{", 3)]);
    }
}
