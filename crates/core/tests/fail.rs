//! What does not compile outside of `remit-core`: every way of having a decision, a caller or a call that was not made
//! by the one function that may make it.

#[test]
fn what_must_not_compile_does_not() {
    trybuild::TestCases::new().compile_fail("tests/fail/*.rs");
}
