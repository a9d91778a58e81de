//! `docs/errors.md`, written from the list of codes. A test fails when the page is stale; `UPDATE_EXPECT=1` writes it.

use expect_test::expect_file;
use remit_core::rejection::Code;

const HEAD: &str = "# Rejection codes

Every call that is refused is refused with one of these codes, beside a message that says what
happened and a help that says the one next step. The list is closed: a code keeps its meaning, and
new ones are only added. Status 200 means that the refusal is the answer of a JSON-RPC call, not of
the HTTP request. No code is told where it would tell too much (`unknown` looks like a tool that
does not exist), and where nothing was asked that could be refused: what is not JSON, not one
JSON-RPC message, too large, of an unknown revision, or not a POST, gets the protocol's own error.

This page is written from `crates/core/src/rejection.rs`: `UPDATE_EXPECT=1 cargo test -p remit-core docs`.

| code | status | meaning |
|---|---|---|
";

#[test]
fn docs_errors_md_says_what_the_list_says() {
    let mut page = HEAD.to_owned();
    page.extend(Code::ALL.iter().map(|code| {
        let meaning = code.meaning().replace('|', "\\|");
        format!("| `{}` | {} | {meaning} |\n", code.name(), code.status())
    }));
    expect_file!["../../../docs/errors.md"].assert_eq(&page);
}
