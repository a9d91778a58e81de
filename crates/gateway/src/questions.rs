//! Questions of servers that were put to a client and are not answered yet, in the legacy era.
//!
//! Each has an id of the gateway's own, which nobody can guess: an answer reaches the question that it answers, of its
//! own run, once. Where the request ends on whose stream it came, the question ends too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use remit_core::feature::Feature;
use remit_core::hash::b64;
use remit_core::id::{RunId, ServerName};

/// Most questions that wait for the answers of one root, in questions.
pub const QUESTIONS_PER_ROOT_MAX: usize = 16;
/// Most questions that wait for an answer at all, in questions.
pub const QUESTIONS_MAX: usize = 4096;

/// Whose question it is, and how its server knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The run that may answer it.
    pub run: RunId,
    /// Its root.
    pub root: RunId,
    /// The server that asks.
    pub server: ServerName,
    /// By which feature.
    pub feature: Feature,
    /// Its id, as the server wrote it.
    pub id: String,
}

/// All that wait.
#[derive(Default)]
pub struct Questions(Mutex<HashMap<String, Question>>);

/// A question that waits; dropping this ends it.
pub struct Waiting {
    questions: Arc<Questions>,
    /// Its id, as the client sees it: a JSON text.
    pub id: String,
    key: String,
}

impl Questions {
    /// Gives the question an id of its own; none where too many wait already.
    pub fn put(self: &Arc<Self>, question: Question) -> Option<Waiting> {
        let mut random = [0; 18];
        aws_lc_rs::rand::fill(&mut random).ok()?;
        let key = b64(&random);
        let mut all = self.all();
        let of_root = all.values().filter(|other| other.root == question.root).count();
        if all.len() >= QUESTIONS_MAX || of_root >= QUESTIONS_PER_ROOT_MAX {
            return None;
        }
        all.insert(key.clone(), question);
        let id = serde_json::Value::from(key.as_str()).to_string();
        Some(Waiting { questions: Arc::clone(self), id, key })
    }

    /// The question that a run answers at a server, by the id that its client saw. Whoever has no such question learns
    /// nothing of others'.
    pub fn take(&self, run: &RunId, server: &ServerName, id: &str) -> Option<Question> {
        let mut all = self.all();
        all.get(id).filter(|question| question.run == *run && question.server == *server)?;
        all.remove(id)
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Question>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.questions.all().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(run: &str, root: &str) -> Question {
        Question {
            run: RunId::new(run).unwrap(),
            root: RunId::new(root).unwrap(),
            server: ServerName::new("tickets").unwrap(),
            feature: Feature::Elicitation,
            id: "0".into(),
        }
    }

    #[test]
    fn an_answer_reaches_its_own_question_once() {
        let questions = Arc::new(Questions::default());
        let [one, two] = ["r1", "r2"].map(|run| questions.put(question(run, "r1")).unwrap());
        assert_ne!(one.key, two.key);
        let (run, other) = (RunId::new("r1").unwrap(), RunId::new("r2").unwrap());
        let (server, elsewhere) = (ServerName::new("tickets").unwrap(), ServerName::new("git").unwrap());
        assert_eq!(questions.take(&other, &server, &one.key), None);
        assert_eq!(questions.take(&run, &elsewhere, &one.key), None);
        assert_eq!(questions.take(&run, &server, "0"), None);
        assert_eq!(questions.take(&run, &server, &one.key), Some(question("r1", "r1")));
        assert_eq!(questions.take(&run, &server, &one.key), None);
        let key = two.key.clone();
        drop(two);
        assert_eq!(questions.take(&other, &server, &key), None);
    }

    #[test]
    fn one_root_cannot_take_all_the_room() {
        let questions = Arc::new(Questions::default());
        let put = |root: &str| questions.put(question("r", root));
        let mut kept: Vec<_> = (0..QUESTIONS_PER_ROOT_MAX).map(|_| put("r1").unwrap()).collect();
        assert!(put("r1").is_none() && put("r2").is_some());
        kept.pop();
        assert!(put("r1").is_some());
    }

    #[test]
    fn there_is_an_end_for_all_together() {
        let questions = Arc::new(Questions::default());
        let all = (0..10_000).map_while(|n| questions.put(question("r", &format!("r{}", n / 10))));
        let kept: Vec<_> = all.collect();
        assert_eq!((kept.len(), questions.all().len()), (4_096, 4_096));
        drop(kept);
        assert_eq!(questions.all().len(), 0);
    }
}
