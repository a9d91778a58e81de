//! `docs/config.md`, written from the table of keys. A test fails when the page is stale; `UPDATE_EXPECT=1` writes it.

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use expect_test::expect_file;

    use crate::config::KEYS;

    const HEAD: &str = "# Configuration

Values are taken from four layers, each over the one before: defaults, `remit.toml` in Remit's home, environment variables
`REMIT__SECTION__KEY`, and flags. An unknown key is an error, wherever it stands. What grants trust has no default.
`remit config show` prints every value and where it came from. There is no key that turns the log off, or an error into
a permission.

Remit's home is `--home DIR`, else `REMIT__HOME`, else `$XDG_STATE_HOME/remit`, else `~/.local/state/remit`. The file is
`remit.toml` there, or the one that `--config FILE` names; never one of the working directory.

This page is written from the table in `crates/cli/src/config/keys.rs`:
`UPDATE_EXPECT=1 cargo test -p remit-cli docs`.
";

    fn page() -> String {
        let mut page = HEAD.to_owned();
        let mut section = "";
        for key in KEYS {
            let (of, name) = key.name.split_once('.').unwrap();
            if of != section {
                writeln!(page, "\n## `[{of}]`").unwrap();
                section = of;
            }
            let default = key.default.map_or("no default".to_owned(), |text| format!("default `{text}`"));
            let variable = format!("REMIT__{}__{}", of.to_uppercase(), name.to_uppercase());
            write!(
                page,
                "\n**`{name}`** ({default}, `{variable}`): {}\n*Who controls it gains:* {}\n",
                key.about, key.gain
            )
            .unwrap();
        }
        page
    }

    #[test]
    fn docs_config_md_says_what_the_table_says() {
        expect_file!["../../../../docs/config.md"].assert_eq(&page());
    }

    #[test]
    fn every_key_says_what_it_is_for_and_what_its_attacker_gains() {
        for key in KEYS {
            assert!(key.about.ends_with(['.', '`']) && key.gain.ends_with('.'), "{}", key.name);
            assert!(key.default.is_some() || !key.like.is_empty(), "{}", key.name);
        }
    }
}
