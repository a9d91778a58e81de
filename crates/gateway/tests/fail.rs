//! What does not compile outside of `remit-gateway`: every way of sending something without a decision *and* its durable
//! record, of sending other bytes, or of sending twice.

#[test]
fn what_must_not_compile_does_not() {
    trybuild::TestCases::new().compile_fail("tests/fail/*.rs");
}
