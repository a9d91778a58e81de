//! What the searches came to.

use super::search::Searched;

/// A row for each, and the sum.
pub(crate) fn of(done: &[Searched]) -> String {
    let head = format!("\n  {:<14} {:>12} {:>8} {:>6} {:>7}  result", "target", "executions", "edges", "new", "inputs");
    let row = |one: &Searched| {
        let result = match (&one.finding, one.planted) {
            (Some(_), true) => "found, as it must be",
            (None, true) => "NOT FOUND",
            (Some(_), false) => "BROKEN",
            (None, false) => "holds",
        };
        let Searched { name, executions, edges, edges_new, inputs, .. } = one;
        format!("  {name:<14} {executions:>12} {edges:>8} {edges_new:>6} {inputs:>7}  {result}")
    };
    let executions: u64 = done.iter().map(|one| one.executions).sum();
    let rows: Vec<String> = done.iter().map(row).collect();
    format!("{head}\n{}\n  {:<14} {executions:>12}", rows.join("\n"), "all")
}
