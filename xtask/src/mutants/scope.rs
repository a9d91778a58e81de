//! What is mutated, and which tests are asked.

/// One crate.
pub(crate) struct Scope {
    pub(crate) package: &'static str,
    /// Its folder, from the root of the repository.
    pub(crate) folder: &'static str,
    /// Files in `src` in which a mutant that no test finds is a failure.
    pub(crate) strict: &'static [&'static str],
    /// The crate's own tests that are quick to build: they are asked first.
    pub(crate) quick: &'static [&'static str],
    /// Tests that are slow to run: asked about what the others do not find.
    pub(crate) slow: &'static [&'static str],
    /// Whose tests are asked about what is left.
    pub(crate) more: &'static [&'static str],
}

pub(crate) const SCOPES: &[Scope] = &[
    Scope {
        package: "remit-core",
        folder: "crates/core",
        strict: &[
            "identify.rs",
            "plan.rs",
            "decide.rs",
            "label.rs",
            "evaluate.rs",
            "constraint.rs",
            "grant.rs",
            "gate.rs",
            "merge.rs",
            "index.rs",
            "reads.rs",
            "jws.rs",
            "dpop.rs",
        ],
        quick: &["--lib", "--test=decision"],
        slow: &[
            "the_slice_decides_as_the_whole_set_does",
            "a_policy_is_found_by_whatever_its_scope_names",
            "no_word_of_a_person_or_a_model_stands_in_a_leaf",
        ],
        more: &["remit-core", "remit-sim", "remit-gateway"],
    },
    Scope {
        package: "remit-audit",
        folder: "crates/audit",
        strict: &["verify.rs", "proof.rs", "checkpoint.rs", "note.rs"],
        quick: &["--lib", "--test=tamper", "--test=outside", "--test=log"],
        slow: &["a_disk_that_hangs_costs_its_callers_the_deadline_and_no_more"],
        more: &["remit-audit", "remit-sim", "remit-gateway"],
    },
];

/// Tests that compile programs of their own: minutes for each mutant, and none of them looks at what the code does.
const NEVER: &str = "what_must_not_compile";

impl Scope {
    /// The file's path from the root, where it is one of the strict set.
    pub(crate) fn strict(&self) -> impl Iterator<Item = String> {
        self.strict.iter().map(|file| format!("{}/src/{file}", self.folder))
    }

    /// All of its files, as a glob.
    pub(crate) fn all(&self) -> String {
        format!("{}/src/**/*.rs", self.folder)
    }

    /// Whether a mutant of this file must be found.
    pub(crate) fn must_be_found(&self, file: &str) -> bool {
        self.strict().any(|strict| strict == file)
    }

    /// What nextest is told to run first.
    pub(crate) fn quick_tests(&self) -> String {
        let slow = self.slow.iter().map(|name| format!(" | test({name})"));
        format!("not (test({NEVER}){})", slow.collect::<String>())
    }

    /// What it is told to run in the end.
    pub(crate) fn all_tests() -> String {
        format!("not test({NEVER})")
    }
}

/// The scope that the file is in.
pub(crate) fn of(file: &str) -> Option<&'static Scope> {
    SCOPES.iter().find(|scope| file.strip_prefix(scope.folder).is_some_and(|rest| rest.starts_with('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strict_files_exist_and_are_in_their_scope() {
        for scope in SCOPES {
            for file in scope.strict() {
                assert!(crate::root().join(&file).is_file(), "{file}");
                assert_eq!(of(&file).map(|scope| scope.package), Some(scope.package));
                assert!(scope.must_be_found(&file) && !scope.must_be_found(&format!("{file}s")));
            }
        }
        assert!(of("crates/core2/src/a.rs").is_none() && of("crates/gateway/src/lib.rs").is_none());
    }

    /// A name that no test has would leave nothing out, and nobody would see why a run takes hours.
    #[test]
    fn the_tests_that_are_named_exist() {
        let all: Vec<String> = SCOPES.iter().flat_map(|scope| texts(&crate::root().join(scope.folder))).collect();
        for test in SCOPES.iter().flat_map(|scope| scope.slow).chain([&NEVER]) {
            assert!(all.iter().any(|text| text.contains(&format!("fn {test}"))), "{test}");
        }
    }

    fn texts(folder: &std::path::Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let of = |path: std::path::PathBuf| {
            if path.is_dir() { texts(&path) } else { std::fs::read_to_string(path).into_iter().collect() }
        };
        entries.flat_map(of).collect()
    }
}
