//! What a part has to say: its tables, and whether it reached what was asked.

use super::drive::Seen;
use crate::report::{Goal, Table, remark};

/// Of one part.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) tables: Vec<Table>,
    goals: Vec<Goal>,
}

impl Report {
    pub(crate) fn goal(&mut self, what: &'static str, asked: String, measured: String, reached: bool) {
        self.goals.push(Goal { what, asked, measured, reached });
    }

    /// Says the first of the answers that had to be others.
    pub(crate) fn saw_errors(&self, part: &str, seen: &Seen) {
        if let Some(error) = &seen.first_error {
            remark(&format!("{part}: {} errors, the first: {error}", seen.errors));
        }
    }

    /// Whether all of it was reached; of nothing that was asked nothing was.
    pub(crate) fn is_reached(&self) -> bool {
        !self.goals.is_empty() && self.goals.iter().all(|goal| goal.reached)
    }

    /// All tables, the goals first.
    pub(crate) fn text(&self) -> String {
        let goals = Table::of_goals(&self.goals);
        std::iter::once(&goals).chain(&self.tables).map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_goal_that_is_missed_fails_the_part_and_so_does_none_at_all() {
        let mut report = Report::default();
        assert!(!report.is_reached());
        report.goal("a", "1".into(), "1".into(), true);
        assert!(report.is_reached());
        report.goal("b", "1".into(), "2".into(), false);
        assert!(!report.is_reached() && report.text().contains("**no**"));
    }
}
