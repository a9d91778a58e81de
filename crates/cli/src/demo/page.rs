//! The page that the demo prints.

use super::Told;
use crate::home::typed;
use crate::out::{Out, Style};

/// Prints the whole story.
pub(super) fn print(told: &Told, out: &Out) {
    for chapter in &told.chapters {
        out.line("");
        out.line(out.style(Style::Strong, chapter.title));
        for step in &chapter.steps {
            let mark = if step.ok { out.style(Style::Good, "✓") } else { out.style(Style::Bad, "✗") };
            let ms = if step.ms == 0 { String::new() } else { out.style(Style::Quiet, format!("  {} ms", step.ms)) };
            out.line(format!("  {mark} {}{ms}", step.what));
            if !step.came.is_empty() {
                out.line(out.style(Style::Quiet, format!("      {}", step.came)));
            }
        }
    }
    out.line("");
    let steps = told.chapters.iter().map(|chapter| chapter.steps.len()).sum::<usize>();
    let verdict = if told.ok { "every step went as it must" } else { "a step did not go as it must" };
    out.line(format!("{steps} steps in {:.1} s: {verdict}.", std::time::Duration::from_millis(told.ms).as_secs_f64()));
    match &told.home {
        Some(home) => out.line(format!("The home stays: remit --home {} log tail", typed(home))),
        None => out.line("Keep the home and look around: remit demo --home DIR"),
    }
}
