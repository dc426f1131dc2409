//! Rounds: every subject gets the same calls in turn. Must not know: what the
//! calls are for.

use std::fs;

use anyhow::{Context as _, Result};
use serde_json::{Value, from_str};

use crate::{
    cases::{Case, Step},
    process::Taken,
    report::{Remark, Row},
    subject::Subject,
};

/// A subject in a case, until it fails.
struct Run<'a> {
    subject: &'a Subject,
    steps: Vec<Step>,
    taken: Vec<Vec<Taken>>,
    failed: bool,
    /// Remarks about errors that count.
    remark: Option<&'static str>,
}

/// Runs all rounds of a case. A subject that lacks something is skipped, and one that
/// fails gets no more calls, with a remark.
pub(crate) fn measure(
    case: &Case,
    subjects: &[Subject],
    warm_up: u32,
    rounds: u32,
    remarks: &mut Vec<Remark>,
) -> Vec<Row> {
    let mut runs = Vec::new();
    for subject in subjects.iter().filter(|subject| case.is_for(subject.who)) {
        if let Some(lacks) = case.lacks(subject.who) {
            remarks.push(Remark::skipped(case.name, subject.who, lacks));
            continue;
        }
        match case.steps(subject) {
            Ok(steps) => {
                let taken = steps.iter().map(|_| Vec::new()).collect();
                runs.push(Run { subject, steps, taken, failed: false, remark: None });
            }
            Err(error) => remarks.push(Remark::failed(case.name, subject.who, &error)),
        }
    }
    for round in 0..warm_up + rounds {
        for at in order(round, runs.len()) {
            let run = &mut runs[at];
            if run.failed {
                continue;
            }
            if let Err(error) = run.round(round >= warm_up) {
                run.failed = true;
                remarks.push(Remark::failed(case.name, run.subject.who, &error));
            }
        }
    }
    for run in &runs {
        case.clean(run.subject);
        if let Some(remark) = run.remark {
            remarks.push(Remark::of(case.name, run.subject.who, remark));
        }
    }
    // Groups the rows to compare.
    let whole: Vec<_> = runs.iter().filter(|run| !run.failed).collect();
    let verbs = ["VERSION", "ADD", "CHECK", "DEL"];
    verbs.iter().flat_map(|verb| whole.iter().filter_map(|run| run.row(case, verb))).collect()
}

/// The order of the subjects: none is always first, or always after the same one.
pub(crate) fn order(round: u32, count: usize) -> Vec<usize> {
    let round = round as usize;
    let mut order: Vec<_> = (0..count).map(|i| (round + i) % count).collect();
    if count > 2 && round / count % 2 == 1 {
        order.reverse();
    }
    order
}

impl Run<'_> {
    fn round(&mut self, counts: bool) -> Result<()> {
        let mut answer = String::new();
        for (step, all) in self.steps.iter().zip(&mut self.taken) {
            step.prepare(&answer)?;
            let (taken, succeeded) = step.call.time()?;
            if !succeeded {
                self.remark = Some(step.may_fail.with_context(|| step.call.failure())?);
            }
            answer = step.call.answer();
            if counts {
                all.push(taken);
            }
        }
        Ok(())
    }

    fn row(&self, case: &Case, verb: &str) -> Option<Row> {
        let at = self.steps.iter().position(|step| step.verb == verb)?;
        Some(Row::new(case.name, case.title, verb, self.subject.who, &self.taken[at]))
    }
}

impl Step {
    /// A CHECK needs the result of the ADD before it.
    pub(crate) fn prepare(&self, answer: &str) -> Result<()> {
        if let (Some(config), Some(input)) = (&self.checks, &self.call.input) {
            let mut config = config.clone();
            config["prevResult"] = from_str::<Value>(answer).context("the result of ADD")?;
            fs::write(input, config.to_string())?;
        }
        Ok(())
    }
}
