//! Requests and answers through the event loop: the order, and the limit of what waits.

use super::*;
use moonfire_nvr::config::Config;
use moonfire_nvr::db;
use moonfire_nvr::decoder::MAX_WAITING_PASSWORDS;
use moonfire_nvr::nvr::port::{Action, ConnId, Core, Event, HelperId};
use moonfire_nvr::reactor::{BULK_TICK, DiskChoice, End, EventLoop, GivenSockets, Setup};
use moonfire_nvr::recording::recovery::Attached;
use moonfire_nvr::time::{Monotonic, Now};
use std::collections::VecDeque;
use std::sync::Arc;

type Answers = Arc<Mutex<Vec<(u64, Result<Reply, Error>)>>>;

/// Asks everything at once, and ends when all is answered.
struct AskingCore {
    actions: VecDeque<Action>,
    left: usize,
    answers: Answers,
}

impl Core for AskingCore {
    fn handle(&mut self, _: Now, event: Event<'_>) {
        if let Event::Helper { id, result } = event {
            self.answers.lock().unwrap().push((id.0, result));
            self.left -= 1;
            if self.left == 0 {
                self.actions.push_back(Action::Exit);
            }
        }
    }

    fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn next_timeout(&self) -> Option<Monotonic> {
        None
    }

    fn allocate_conn(&mut self) -> ConnId {
        ConnId(0)
    }
}

fn run(program: &Path, requests: Vec<Request>) -> Vec<(u64, Result<Reply, Error>)> {
    let setup = Setup {
        config: Config::default(),
        load_config: None,
        database: Box::new(|_| Ok(db::Reply::Done)),
        attach: |_, _| Ok(Attached::default()),
        disk: DiskChoice::Threads,
        given_sockets: GivenSockets::default(),
        bulk_tick: BULK_TICK,
        signals: false,
    };
    let answers = Answers::default();
    let core = AskingCore {
        left: requests.len(),
        actions: (0..)
            .zip(requests)
            .map(|(id, request)| Action::Helper {
                id: HelperId(id),
                request,
            })
            .collect(),
        answers: answers.clone(),
    };
    let mut event_loop = EventLoop::new(core, setup).unwrap();
    event_loop.set_helper_program(program.to_owned());
    assert_eq!(event_loop.run().unwrap(), End::InGoodOrder);
    drop(event_loop);
    let mut answers = answers.lock().unwrap();
    std::mem::take(&mut *answers)
}

#[test]
fn passwords_go_first_and_too_many_are_refused_at_once() {
    let _alone = alone();
    let mut requests = vec![hash("correct horse")];
    #[cfg(feature = "ffmpeg")]
    requests.extend((0..2).map(|_| key_frame::small().request(160)));
    let pictures = requests.len() - 1;
    requests.extend((0..MAX_WAITING_PASSWORDS).map(|_| hash("short")));
    requests.push(hash("correct horse"));
    let count = requests.len();
    let answers = run(Path::new(PROGRAM), requests);
    let order: Vec<u64> = answers.iter().map(|(id, _)| *id).collect();
    let refused = count as u64 - 1;
    let pictures = 1..=pictures as u64;
    let passwords = *pictures.end() + 1..refused;
    let expected = [refused, 0]
        .into_iter()
        .chain(passwords)
        .chain(pictures.clone());
    assert_eq!(order, expected.collect::<Vec<_>>());
    for (id, result) in answers {
        let right = match result {
            Err(Error::Busy) => id == refused,
            Ok(Reply::Hash(_)) => id == 0,
            Ok(Reply::Picture(_)) => pictures.contains(&id),
            Err(Error::Unfit(_)) => true,
            _ => false,
        };
        assert!(right, "{id}: {result:?}");
    }
}

#[test]
fn each_request_is_answered_when_the_helper_only_crashes() {
    let _alone = alone();
    let answers = run(Path::new("/bin/false"), vec![hash("correct horse"); 5]);
    assert_eq!(answers.len(), 5);
    assert!(matches!(answers[0].1, Err(Error::Crashed(_))));
    for (_, result) in &answers[1..] {
        assert!(matches!(result, Err(Error::Unavailable(_))), "{result:?}");
    }
}
