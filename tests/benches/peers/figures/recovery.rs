//! The server is killed, is away for a while, and listens again.

use std::time::Instant;

use super::{Bench, Client, ms};
use crate::client::{Failure, Pipes};
use crate::messages::Tool;
use crate::results::Measure;
use crate::server::Server;
use crate::transport::Transport;

/// What a recovery was: the time until each call's answer.
struct Recovery {
    held: Result<f64, Failure>,
    next: Result<f64, Failure>,
}

pub fn measure(bench: &mut Bench) {
    for transport in [Transport::Json, Transport::Sse] {
        for index in bench.rounds() {
            let competitor = &bench.competitors[index];
            let name = competitor.name;
            let given_up =
                |measure| bench.results.get(measure, transport, name).is_some_and(|cell| cell.failure.is_some());
            // Once is enough for those that give neither answer: they take the whole time.
            if competitor.is_direct() || (given_up(Measure::Held) && given_up(Measure::Next)) {
                continue;
            }
            let recovery = match bench.start(index, transport) {
                Ok((Client::Bridge(mut pipes), _)) => recovery(bench, &mut pipes),
                Ok((Client::Direct(_), _)) => continue,
                Err(why) => Recovery { held: Err(why.clone()), next: Err(why) },
            };
            for (measure, outcome) in [(Measure::Held, recovery.held), (Measure::Next, recovery.next)] {
                match outcome {
                    Ok(time) => bench.results.add(measure, transport, name, time),
                    Err(why) => bench.results.fail(measure, transport, name, why),
                }
            }
        }
    }
}

fn recovery(bench: &mut Bench, pipes: &mut Pipes) -> Recovery {
    // A call that works: the session is there.
    let works = pipes.call(Tool::Echo, crate::client::PATIENCE);
    if let Some(server) = bench.server.take() {
        server.kill();
    }
    let held = works.and_then(|_| pipes.send(Tool::Echo));
    // Whoever answers before the server is back has an error for the call.
    let early = held.clone().and_then(|id| pipes.answer(id, bench.scale.down));
    bench.server = Some(Server::start(&bench.port));
    let listening = Instant::now();
    let since = |arrived: Instant| ms(arrived - listening);

    let mut held = match (held, early) {
        (Err(why), _) => return Recovery { held: Err(why.clone()), next: Err(why) },
        (Ok(_), Ok(Err(error))) => Outcome::Known(Err(format!("error at once: {}", message(&error)))),
        (Ok(_), Ok(Ok(_))) => Outcome::Known(Err("answered without a server".to_owned())),
        (Ok(_), Err(why)) if why != "no answer" => return Recovery { held: Err(why.clone()), next: Err(why) },
        (Ok(id), Err(_)) => Outcome::Awaited(id),
    };
    let mut next = pipes.send(Tool::Echo).map_or_else(|why| Outcome::Known(Err(why)), Outcome::Awaited);
    let deadline = listening + bench.scale.recovery;
    while let Some(left) = deadline.checked_duration_since(Instant::now())
        && (held.is_awaited() || next.is_awaited())
    {
        let answer = pipes.answer_of_any(left);
        match answer {
            Ok((id, outcome)) if held.awaits(id) => {
                held = Outcome::Known(outcome.map(since).map_err(|error| format!("error: {}", message(&error))));
            }
            Ok((id, Ok(arrived))) if next.awaits(id) => next = Outcome::Known(Ok(since(arrived))),
            Ok((id, Err(_))) if next.awaits(id) => {
                // A person, or a program, tries again.
                std::thread::sleep(std::time::Duration::from_millis(20));
                next = pipes.send(Tool::Echo).map_or_else(|why| Outcome::Known(Err(why)), Outcome::Awaited);
            }
            Ok(_) => {}
            Err(why) if why == "no answer" => break,
            Err(why) => {
                held.fail(&why);
                next.fail(&why);
            }
        }
    }
    let late = format!("none within {} s", bench.scale.recovery.as_secs());
    held.fail(&late);
    next.fail(&late);
    Recovery { held: held.known(), next: next.known() }
}

enum Outcome {
    Awaited(u64),
    Known(Result<f64, Failure>),
}

impl Outcome {
    fn is_awaited(&self) -> bool {
        matches!(self, Self::Awaited(_))
    }

    fn awaits(&self, id: u64) -> bool {
        matches!(self, Self::Awaited(wanted) if *wanted == id)
    }

    fn fail(&mut self, why: &str) {
        if self.is_awaited() {
            *self = Self::Known(Err(why.to_owned()));
        }
    }

    fn known(self) -> Result<f64, Failure> {
        match self {
            Self::Known(outcome) => outcome,
            Self::Awaited(_) => Err("no answer".to_owned()),
        }
    }
}

/// The text of a JSON-RPC error.
fn message(error: &str) -> String {
    let text = serde_json::from_str::<serde_json::Value>(error).ok();
    let text = text.and_then(|error| Some(error.get("message")?.as_str()?.to_owned()));
    text.unwrap_or_else(|| error.to_owned()).chars().take(60).collect()
}
