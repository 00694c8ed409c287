//! What takes long is a job: one at a time, on a thread of its own, looked at as often as one likes.

use crate::appliance::protocol::{Answer, Refusal, RefusalKind};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// How a job fares.
#[derive(Clone, Debug)]
struct Job {
    id: u64,
    what: &'static str,
    state: &'static str,
    step: String,
    message: Option<String>,
    percent: Option<u8>,
}

/// See the module.
#[derive(Default)]
pub struct Jobs {
    last: Arc<Mutex<Option<Job>>>,
    count: u64,
}

/// Tells how far a job has got: what it does now, and its share if anybody knows.
pub type Step<'a> = &'a dyn Fn(&str, Option<u8>);

impl Jobs {
    pub fn is_busy(&self) -> bool {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().is_some_and(|j| j.state == "running")
    }

    /// Starts one, unless one is under way. It ends with a sentence, or with why it failed.
    pub fn start(
        &mut self,
        what: &'static str,
        work: impl FnOnce(&dyn Fn(&str)) -> Result<String, Refusal> + Send + 'static,
    ) -> Answer {
        self.start_measured(what, move |step| work(&|text| step(text, None)))
    }

    /// The same, of one that knows how much of it is done.
    pub fn start_measured(
        &mut self,
        what: &'static str,
        work: impl FnOnce(Step<'_>) -> Result<String, Refusal> + Send + 'static,
    ) -> Answer {
        if self.is_busy() {
            return Err(Refusal::new(
                RefusalKind::Conflict,
                "something else is being done; wait for that",
            ));
        }
        self.count += 1;
        let job = Job {
            id: self.count,
            what,
            state: "running",
            step: "beginning".to_owned(),
            message: None,
            percent: None,
        };
        let told = job_json(&job);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(job);
        let last = self.last.clone();
        let started = thread::Builder::new().name(what.to_owned()).spawn(move || {
            let change = |f: &dyn Fn(&mut Job)| {
                if let Some(job) = last.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                    f(job);
                }
            };
            let result = work(&|step, percent| {
                change(&|job| {
                    job.step = step.to_owned();
                    job.percent = percent;
                });
            });
            change(&|job| {
                (job.state, job.message) = match &result {
                    Ok(message) => ("done", Some(message.clone())),
                    Err(refusal) => ("failed", Some(refusal.message.clone())),
                };
                job.percent = result.is_ok().then_some(100).or(job.percent);
            });
        });
        if let Err(e) = started {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
            return Err(Refusal::new(
                RefusalKind::Failed,
                format!("no thread for it: {e}"),
            ));
        }
        Ok(json!({ "job": told }))
    }

    /// The one under way, or the last.
    pub fn to_json(&self) -> Value {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map_or(Value::Null, job_json)
    }
}

fn job_json(job: &Job) -> Value {
    json!({
        "id": job.id,
        "what": job.what,
        "state": job.state,
        "step": job.step,
        "message": job.message,
        "percent": job.percent,
    })
}
