//! A second session beside the client's, made of single requests, to see how the server treats sessions and streams. How a request
//! is built, and what its answer means, says [`diagnosis::Survey`].

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::report::{self, EventStream, Goodbye, Ping, Report, Resumable, Stickiness};
use super::{Config, Host, Outcome, Step, Via};
use crate::diagnosis::{self, Answer, DeadSession, Resumption};
use crate::url::UrlError;
use crate::{Request, Transport};

/// How long an answer may take. A POST to a dead session of some servers is never answered.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often a ping is sent.
const PINGS: usize = 5;
/// How many of its requests have a connection of their own: what tells servers apart by connection shows only then.
const CONNECTIONS: usize = 4;
/// How long a stream may stay silent before it is left alone.
const SILENCE: Duration = Duration::from_millis(300);

/// The session.
pub(super) struct Questions {
    survey: diagnosis::Survey,
    /// The stream of HTTP+SSE, on which everything comes, and with which its session ends.
    stream: Option<Answer>,
    open: bool,
    /// How its requests fared, and what the first of those was answered that were answered as if there were no such session.
    stickiness: Stickiness,
    stray: Option<String>,
}

impl Questions {
    /// Makes no contact yet.
    pub fn new(config: &Config, transport: Transport, version: &str) -> Result<Self, UrlError> {
        let survey = diagnosis::Survey::new(&config.url, config.headers.clone(), transport, version)?;
        Ok(Self { survey, stream: None, open: false, stickiness: Stickiness { asked: 0, lost: 0 }, stray: None })
    }

    /// Asks everything.
    pub async fn run(&mut self, host: &Host, report: &mut Report) {
        host.progress("ask for versions without sessions");
        self.discover(host, report).await;
        host.progress("open a second session");
        let opened = match self.open(host, report).await {
            Ok(opened) => opened,
            Err(_) if report.versions_without_sessions.as_ref().is_some_and(|versions| !versions.is_empty()) => {
                return report.note(
                    "the server keeps no sessions and speaks only versions without them: what clients of other versions send \
                     is translated"
                        .into(),
                );
            }
            Err(problem) => return report.problem(format!("a second session could not be opened: {problem}")),
        };
        host.progress("ping");
        let pinged = self.pings(host, report).await;
        host.progress("ask over other connections");
        self.connections(host, report).await;
        host.progress("ask with a session id that does not exist");
        self.dead_session(host, report).await;
        if let Some(request) = self.survey.event_stream() {
            host.progress("ask for the event stream");
            match make(host, request, SILENCE).await {
                Ok((answer, _)) => {
                    report.event_stream =
                        Some(EventStream { offered: answer.is_event_stream(), status: answer.status() });
                }
                Err(problem) => report.problem(format!("the GET of the event stream was not answered: {problem}")),
            }
            host.progress("ask for a stream again");
            self.resume(host, pinged.filter(Answer::has_event_ids).unwrap_or(opened), report).await;
            host.progress("look at compression");
            self.compression(host, report).await;
        } else {
            report.note("HTTP+SSE: an answer that is cut off cannot be had again; its outcome is then unknown".into());
        }
    }

    /// Which versions without sessions the server speaks.
    async fn discover(&mut self, host: &Host, report: &mut Report) {
        let Some(request) = self.survey.discover() else { return };
        if let Ok((answer, version)) = make(host, request, PATIENCE).await {
            report.http_version = Some(version);
            report.versions_without_sessions = Some(answer.versions_without_sessions().to_vec());
        }
    }

    /// Opens the session; gives the answer that did.
    async fn open(&mut self, host: &Host, report: &mut Report) -> Result<Answer, String> {
        let initialize = diagnosis::initialize("mcp-reconnect-check", env!("CARGO_PKG_VERSION"));
        let answer = loop {
            let request = self.survey.open(&initialize);
            let (answer, version) =
                Making { is_stream: self.survey.has_stream(), ..Making::of(request) }.run(host).await?;
            report.http_version = Some(version);
            if !self.survey.redirected(&answer) {
                break answer;
            }
        };
        self.survey.opened(&answer).map_err(|problem| problem.to_string())?;
        self.survey.learn_cookies(&answer);
        report.cookies = Some(answer.cookie_names().map(ToOwned::to_owned).collect());
        self.open = true;
        if let Some(request) = self.survey.initialize(&initialize) {
            self.stream = Some(answer.clone());
            let result = self.answer_to(host, Making::of(request)).await?;
            if !result.is_result() {
                return Err(result.describe());
            }
        }
        let (initialized, _) = make(host, self.survey.initialized(), SILENCE).await?;
        self.note(&initialized);
        Ok(answer)
    }

    /// How fast the server answers; gives the last answer.
    async fn pings(&mut self, host: &Host, report: &mut Report) -> Option<Answer> {
        let (mut times, mut last) = (Vec::new(), None);
        for _ in 0..PINGS {
            let request = self.survey.ping();
            let begun = host.now();
            match self.answer_to(host, Making::of(request)).await {
                Ok(answer) if answer.is_result() => {
                    self.note(&answer);
                    times.push((host.now() - begun).as_secs_f64() * 1000.0);
                    last = Some(answer);
                }
                Ok(answer) if self.note(&answer) => {}
                Ok(answer) => {
                    report.problem(format!("ping fails: {}", answer.describe()));
                    break;
                }
                Err(problem) => {
                    report.problem(format!("a ping was not answered: {problem}"));
                    break;
                }
            }
        }
        times.sort_by(f64::total_cmp);
        if let (Some(min), Some(max)) = (times.first(), times.last()) {
            let median_ms = times[times.len() / 2];
            report.ping = Some(Ping { count: times.len(), median_ms, min_ms: *min, max_ms: *max });
        }
        last
    }

    /// Takes note of how a request of the session fared. True: as if there were no such session.
    fn note(&mut self, answer: &Answer) -> bool {
        let lost = !answer.is_result() && self.survey.is_lost(answer);
        self.stickiness.asked += 1;
        self.stickiness.lost += usize::from(lost);
        if lost && self.stray.is_none() {
            self.stray = Some(answer.describe());
        }
        lost
    }

    /// Whether all requests of the session reach the server that began it.
    async fn connections(&mut self, host: &Host, report: &mut Report) {
        if self.survey.ping_dead_session().is_none() {
            return;
        }
        for _ in 0..CONNECTIONS {
            let request = self.survey.ping();
            match self.answer_to(host, Making { via: Via::Dedicated, ..Making::of(request) }).await {
                Ok(answer) => drop(self.note(&answer)),
                Err(_) => break,
            }
        }
        let Stickiness { asked, lost } = self.stickiness;
        if let Some(said) = &self.stray {
            report.problem(if lost == asked {
                format!("every request of a session that was just begun is answered as if there were none ({said}): the server does not keep sessions that it gives ids to")
            } else {
                format!(
                    "{lost} of {asked} requests of a session that was just begun were answered as if there were none \
                     ({said}): behind this address are several servers, each with its own sessions. Have the balancer send the requests \
                     of a session to one server, by a cookie or by Mcp-Session-Id, or run one"
                )
            });
        }
        report.stickiness = Some(Stickiness { asked, lost });
    }

    /// Whether answers are compressed although `identity` is asked for. A list is long enough for servers that spare short answers.
    async fn compression(&mut self, host: &Host, report: &mut Report) {
        let offered =
            ["tools", "prompts", "resources"].into_iter().find(|name| report.capabilities.get(name).is_some());
        let request = match offered {
            Some(of) => self.survey.list(&format!("{of}/list")),
            None => self.survey.ping(),
        };
        let making = Making { via: Via::Undecoded, ..Making::of(request) };
        let Ok((answer, _)) = making.run(host).await else { return };
        if let Some(coding) = answer.coding() {
            report.problem(format!(
                "answers are compressed ({coding}) although identity is asked for: a compressed stream may come late, and the \
                 WebAssembly command cannot read it. Turn compression off for this path, in the server or the proxy before it"
            ));
            report.compression = Some(coding.to_owned());
        }
    }

    /// The answer to `initialize` where no session came of one. `None`: there is none.
    pub async fn first_answer(&mut self, host: &Host) -> Option<Answer> {
        let initialize = diagnosis::initialize("mcp-reconnect-check", env!("CARGO_PKG_VERSION"));
        let (answer, _) = make(host, self.survey.open(&initialize), SILENCE).await.ok()?;
        // It may be there again by now.
        self.open = self.survey.opened(&answer).is_ok();
        Some(answer)
    }

    /// Makes a request of the session and waits for its answer, wherever that comes.
    async fn answer_to(&mut self, host: &Host, making: Making) -> Result<Answer, String> {
        let Some(mut stream) = self.stream.take() else {
            return making.run(host).await.map(|(answer, _)| answer);
        };
        stream.await_next();
        let (posted, _) = Making { silence: SILENCE, ..making }.run(host).await?;
        if !(200..300).contains(&posted.status()) {
            self.stream = Some(stream);
            return Ok(posted);
        }
        while !stream.is_enough() {
            match host.step(PATIENCE, |limit| Step::Read { of_stream: true, limit }).await {
                Outcome::Bytes(bytes) => stream.feed(&bytes),
                Outcome::Late => return Err(late()),
                Outcome::Failed(problem) => return Err(problem),
                _ => return Err("the event stream ended".into()),
            }
        }
        let answer = stream.clone();
        self.stream = Some(stream);
        Ok(answer)
    }

    async fn dead_session(&mut self, host: &Host, report: &mut Report) {
        let Some(request) = self.survey.ping_dead_session() else {
            return report
                .note("the server gives no session ids: there is no session that a restart could lose".into());
        };
        let answer = make(host, request, PATIENCE).await.ok().map(|(answer, _)| answer);
        let verdict = self.survey.judge_dead_session(answer.as_ref());
        let says = answer.as_ref().map(Answer::describe);
        match verdict {
            DeadSession::Recognised | DeadSession::Busy => {}
            DeadSession::Verified => report.note(
                "a session that does not exist is answered in the server's own words: after a restart a list and an \
                 initialize find out whether it is gone, before anything is sent again. With 404 there is no need to"
                    .into(),
            ),
            DeadSession::Unauthorized => report.problem(format!(
                "a session that does not exist is answered as if the credentials were wrong ({}), which they are not: after \
                 a restart clients ask for fresh ones, or for a sign-in, before they find out. Have the server answer 404",
                says.as_deref().unwrap_or_default()
            )),
            DeadSession::Ignored => report.note("the server does not look at session ids".into()),
            // There the stream tells.
            DeadSession::Silent if self.survey.event_stream().is_none() => {}
            DeadSession::Silent => report.problem(
                "the server takes messages to a session that it does not know in silence: after a restart only the \
                 heartbeat finds out"
                    .into(),
            ),
            DeadSession::Unclear | DeadSession::NotRecognised => report.problem(format!(
                "the answer to a session that does not exist is not recognised as such ({}): after a restart the client \
                 may see errors. Have the server answer 404",
                says.as_deref().unwrap_or("no answer")
            )),
        }
        report.dead_session = Some(report::DeadSession {
            verdict: verdict.name(),
            recognised: verdict == DeadSession::Recognised,
            status: answer.as_ref().map(Answer::status),
            body: answer.as_ref().map(|answer| answer.body_kind().name()),
            says,
        });
    }

    /// Asks for a stream again that was read already.
    async fn resume(&mut self, host: &Host, read: Answer, report: &mut Report) {
        let Some(request) = self.survey.resume(&read) else {
            report.resumable = Some(Resumable { resumable: false, event_ids: false, result: None, status: None });
            return;
        };
        // What is given again may take its time; the reading ends with the first answer.
        match make(host, request, PATIENCE).await {
            Ok((answer, _)) => {
                let result = self.survey.judge_resume(&answer);
                if result == Resumption::Refused {
                    report.problem(format!(
                        "its events carry ids, but a GET with Last-Event-ID is refused ({})",
                        answer.describe()
                    ));
                }
                report.resumable = Some(Resumable {
                    resumable: result != Resumption::Refused,
                    event_ids: true,
                    result: Some(result.name()),
                    status: Some(answer.status()),
                });
            }
            Err(problem) => report.problem(format!("a GET with Last-Event-ID was not answered: {problem}")),
        }
    }

    /// Ends the session.
    pub async fn close(&mut self, host: &Host, report: &mut Report) {
        if self.survey.has_stream() {
            host.step(PATIENCE, |_| Step::EndStream).await;
        }
        if !core::mem::take(&mut self.open) {
            return;
        }
        let Some(request) = self.survey.delete() else { return };
        match make(host, request, SILENCE).await {
            Ok((answer, _)) => {
                let accepted = (200..300).contains(&answer.status());
                if !accepted && self.stray.is_none() {
                    report.note(format!(
                        "the server does not let its clients end a session ({}): sessions stay until it forgets them",
                        answer.describe()
                    ));
                }
                report.goodbye = Some(Goodbye { accepted, status: answer.status() });
            }
            Err(problem) => report.problem(format!("the end of a session was not answered: {problem}")),
        }
    }
}

/// How a request is made.
struct Making {
    request: Request,
    via: Via,
    is_stream: bool,
    /// How long a stream may be silent.
    silence: Duration,
}

impl Making {
    fn of(request: Request) -> Self {
        Self { request, via: Via::Shared, is_stream: false, silence: PATIENCE }
    }

    /// Makes it and reads what matters of the response; gives also the version of HTTP.
    async fn run(self, host: &Host) -> Result<(Answer, String), String> {
        let Self { request, via, is_stream, silence } = self;
        let (status, headers, version) =
            match host.step(PATIENCE, |limit| Step::Request { request, via, is_stream, limit }).await {
                Outcome::Head { status, headers, version } => (status, headers, version),
                Outcome::Failed(problem) => return Err(problem),
                _ => return Err(late()),
            };
        let mut answer = Answer::new(status, &headers);
        let end = host.now() + PATIENCE;
        while !answer.is_enough() {
            // A body that breaks off, or is silent, has said what it has to say; and some never stop to talk.
            let left = end - host.now();
            match host.step(silence.min(left), |limit| Step::Read { of_stream: is_stream, limit }).await {
                Outcome::Bytes(bytes) => answer.feed(&bytes),
                _ => break,
            }
        }
        answer.end();
        Ok((answer, version))
    }
}

async fn make(host: &Host, request: Request, silence: Duration) -> Result<(Answer, String), String> {
    Making { silence, ..Making::of(request) }.run(host).await
}

fn late() -> String {
    format!("no answer within {} s", PATIENCE.as_secs())
}
