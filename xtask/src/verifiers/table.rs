//! What was found: each case, and how many logs every verifier judged rightly in it.

use super::case::CASES;
use super::maker::Maker;
use crate::say;

/// One case of one log before one verifier.
pub(crate) struct Cell {
    pub(crate) case: &'static str,
    pub(crate) subject: &'static str,
    pub(crate) maker: &'static str,
    /// What is wrong with the answer.
    pub(crate) fault: Option<String>,
}

const CASE_WIDTH: usize = 52;
const COLUMN_WIDTH: usize = 13;

/// Prints everything.
pub(crate) fn print(makers: &[Maker], cells: &[Cell]) {
    let names: Vec<&str> = makers.iter().map(|maker| maker.name).collect();
    for line in lines(&names, cells) {
        say(&line);
    }
}

fn lines(makers: &[&str], cells: &[Cell]) -> Vec<String> {
    let mut lines = vec![String::new(), row("", makers.iter().map(|name| (*name).to_owned()))];
    for case in CASES {
        let verdict = if case.accepted { "accepted" } else { "refused" };
        let found = |maker: &&str| {
            let of_both = |cell: &&Cell| cell.case == case.name && cell.maker == *maker;
            let (all, good) = cells
                .iter()
                .filter(of_both)
                .fold((0, 0), |(all, good), cell| (all + 1, good + usize::from(cell.fault.is_none())));
            match (all, good) {
                (0, _) => "·".to_owned(),
                _ if all == good => format!("{verdict} {good}"),
                _ => format!("WRONG {} of {all}", all - good),
            }
        };
        lines.push(row(case.name, makers.iter().map(found)));
    }
    for Cell { case, subject, maker, fault } in cells {
        lines.extend(fault.as_ref().map(|fault| format!("{maker}, {subject}, {case}: {fault}")));
    }
    lines.push("the number is that of logs; · stands where a verifier does not look at such a thing".into());
    lines.push(String::new());
    lines
}

fn row(name: &str, columns: impl Iterator<Item = String>) -> String {
    let start = format!("{name:<CASE_WIDTH$}");
    columns.fold(start, |row, column| row + &format!(" {column:<COLUMN_WIDTH$}")).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_answer_stands_out() {
        let cell = |case, maker, fault: Option<&str>| Cell { case, subject: "s", maker, fault: fault.map(Into::into) };
        let (first, second) = (CASES[0].name, CASES[1].name);
        let cells = [cell(first, "a", None), cell(first, "b", Some("why")), cell(second, "a", None)];
        let lines = lines(&["a", "b"], &cells);
        assert!(lines[2].contains("accepted 1") && lines[2].contains("WRONG 1 of 1"), "{lines:?}");
        assert!(lines[3].contains("refused 1") && lines[3].ends_with('·'), "{lines:?}");
        assert!(lines.contains(&format!("b, s, {first}: why")), "{lines:?}");
    }
}
