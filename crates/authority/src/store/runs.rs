//! Live runs, each found by what is known of it: nothing here costs more because others are live.

use remit_core::id::RunId;
use rusqlite::params;

use super::Store;
use super::read::{Found, List};
use crate::change::{Process, Run};
use crate::error::AuthorityError;

const OF_PROCESS: &str =
    "SELECT record FROM runs WHERE ended IS NULL AND json_extract(record, '$.process.pid') = ?1 AND until > ?2";
const BEGAN: &str = "SELECT record FROM runs WHERE parent = ?1 AND ended IS NULL";
const LIVE: &str = "SELECT count(*) FROM runs WHERE ended IS NULL AND until > ?1";
const BELOW: &str = "SELECT count(*) FROM runs WHERE root = ?1 AND parent IS NOT NULL AND ended IS NULL AND until > ?2";
const TREE: &str = "SELECT record FROM runs WHERE root = ?1 AND ended IS NULL AND until > ?2";
const OF_KEY: &str = "SELECT record FROM runs WHERE jkt = ?1 AND ended IS NULL AND until > ?2";
const OVER: &str = "SELECT record FROM runs WHERE ended IS NULL AND until <= ?1";

impl Store {
    /// The live run that has this process.
    pub(crate) fn live_run_of(&self, process: Process, now: i64) -> Found<Run> {
        let mut runs: Vec<Run> = self.all(OF_PROCESS, params![process.pid, now])?;
        runs.retain(|run| run.process == Some(process));
        Ok(runs.pop())
    }

    /// A live run and those that it descends from, the nearest first, as far as they are live.
    pub(crate) fn live_line(&self, id: &RunId, now: i64) -> List<Run> {
        let (mut line, mut next) = (Vec::new(), Some(id.clone()));
        // As many as its lineage has tokens: no record can make this endless.
        while let Some(run) = next.map(|id| self.live_run(&id, now)).transpose()?.flatten() {
            let most = line.first().map_or(run.lin.len(), |first: &Run| first.lin.len());
            next = run.parent.clone().filter(|_| line.len() < most);
            line.push(run);
        }
        Ok(line)
    }

    /// Runs that a run began and that were not ended, whether or not their time is over.
    pub(crate) fn began(&self, run: &RunId) -> List<Run> {
        self.all(BEGAN, [run.as_str()])
    }

    /// How many runs are live.
    pub(crate) fn live_count(&self, now: i64) -> Result<usize, AuthorityError> {
        self.count(LIVE, params![now])
    }

    /// How many runs are live below a root.
    pub(crate) fn live_below(&self, root: &RunId, now: i64) -> Result<usize, AuthorityError> {
        self.count(BELOW, params![root.as_str(), now])
    }

    /// Live runs of a root, itself among them.
    pub(crate) fn live_tree(&self, root: &RunId, now: i64) -> List<Run> {
        self.all(TREE, params![root.as_str(), now])
    }

    /// Live runs that have this key, by its thumbprint.
    pub(crate) fn live_runs_of_key(&self, jkt: &str, now: i64) -> List<Run> {
        self.all(OF_KEY, params![jkt, now])
    }

    /// Runs that were not ended and whose time is over.
    pub(crate) fn over_runs(&self, now: i64) -> List<Run> {
        self.all(OVER, [now])
    }

    fn count(&self, sql: &str, by: impl rusqlite::Params) -> Result<usize, AuthorityError> {
        let count: i64 = self.connection.prepare_cached(sql)?.query_row(by, |row| row.get(0))?;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
impl Store {
    /// A live run without anything that it refers to.
    pub(crate) fn put(&self, run: &Run) {
        let record = serde_json::to_string(run).unwrap();
        let sql = "INSERT INTO runs (id, root, parent, agent, principal, jkt, until, record, at) VALUES (?1, ?2, ?3, '', '', '', ?4, ?5, 0)";
        let parent = run.parent.as_ref().map(RunId::as_str);
        self.connection.pragma_update(None, "foreign_keys", "OFF").unwrap();
        self.connection.execute(sql, params![run.id.as_str(), run.root.as_str(), parent, run.until, record]).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Break: leave an index out, or ask so that none is used: then each launch reads all runs.
    #[test]
    fn no_question_reads_every_run() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("db")).unwrap();
        let questions = [
            (OF_PROCESS, "runs_process"),
            (BEGAN, "runs_parent"),
            (LIVE, "runs_live"),
            (BELOW, "runs_tree"),
            (TREE, "runs_tree"),
            (OF_KEY, "runs_key"),
            (OVER, "runs_live"),
        ];
        for (sql, index) in questions {
            let mut statement = store.connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let nothing = vec![rusqlite::types::Null; statement.parameter_count()];
            let rows = statement.query_map(rusqlite::params_from_iter(nothing), |row| row.get::<_, String>(3)).unwrap();
            let plan: Vec<String> = rows.map(Result::unwrap).collect();
            let searches = |step: &String| step.starts_with("SEARCH") && step.contains(&format!("INDEX {index} "));
            assert!(plan.iter().all(searches), "{sql}: {plan:?}");
        }
    }
}
