//! A result that asks for something ("Multi round-trip requests"): each question becomes a request to the client, and the
//! answers go out with the same request again. The server keeps nothing meanwhile, so that it may be restarted.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};

use serde_json::value::RawValue;

use crate::api::errors;
use crate::engine::Engine;
use crate::engine::state::outbox::Queued;
use crate::engine::state::progress_tokens::TaskPart;
use crate::engine::state::requests::RequestKey;
use crate::engine::state::session::ServerRequest;
use crate::engine::state::timers::Timer;
use crate::engine::state::translation::Input;
use crate::wire::json::{self, Envelope};

/// Rounds of one request.
const MAX_ROUNDS: u32 = 10;
/// Questions of one round.
const MAX_QUESTIONS: usize = 64;
/// The longest name of a question, in bytes.
const MAX_NAME: usize = 1024;

/// What the server declares missing when a client cannot be asked.
const MISSING_CAPABILITY: i64 = -32021;

/// What a result asks for.
struct Asked<'a> {
    /// The questions, by the server's name for each.
    questions: BTreeMap<String, Question<'a>>,
    state: Option<&'a RawValue>,
}

struct Question<'a> {
    method: String,
    params: Option<&'a RawValue>,
}

fn asked(result: &str) -> Option<Asked<'_>> {
    let [requests, state] = json::members(result, ["inputRequests", "requestState"])?;
    let requests: BTreeMap<String, &RawValue> = match requests {
        Some(requests) => serde_json::from_str(requests.get()).ok()?,
        None => BTreeMap::new(),
    };
    let mut questions = BTreeMap::new();
    for (name, raw) in requests {
        let [method, params] = json::members(raw.get(), ["method", "params"])?;
        questions.insert(name, Question { method: json::string(method?)?, params });
    }
    Some(Asked { questions, state })
}

impl Engine {
    /// The result of this request asks for something.
    pub(crate) fn ask_for_input(&mut self, key: RequestKey, result: &str) {
        let Some(asked) = asked(result) else {
            return self.fail_input(key, "The server asks for input in a form that cannot be read.");
        };
        if asked.questions.len() > MAX_QUESTIONS || asked.questions.keys().any(|name| name.len() > MAX_NAME) {
            return self.fail_input(key, "The server asks for too much input at once.");
        }
        let Some(part) = self.requests.translated(key) else { return };
        part.rounds += 1;
        if part.rounds > MAX_ROUNDS {
            return self.fail_input(key, "The server asks for input again and again (ten times is the most).");
        }
        if let Some(question) = asked.questions.values().find(|question| !self.client_can(&question.method)) {
            let method = super::super::settle::clip(&question.method);
            let text = alloc::format!("The server asks for {method}, which this client does not declare.");
            return self.answer_error(key, MISSING_CAPABILITY, &text, None);
        }
        let answers = asked.questions.keys().map(|name| (name.clone(), None)).collect();
        let state = asked.state.map(|state| state.get().to_string());
        self.await_input(key, Input { answers, state });
        for (name, question) in &asked.questions {
            let id = self.inbox.ask(ServerRequest {
                epoch: self.epoch,
                id: String::new(),
                progress_token: None,
                task: TaskPart::None,
                input: Some((key, name.clone())),
            });
            let params =
                question.params.map(|params| alloc::format!(r#","params":{}"#, params.get())).unwrap_or_default();
            self.emit_message(alloc::format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":{}{params}}}"#,
                json::quote(&question.method)
            ));
        }
        if asked.questions.is_empty() {
            self.send_input(key);
        }
    }

    fn fail_input(&mut self, key: RequestKey, text: &str) {
        self.answer_error(key, errors::HTTP_ERROR, text, None);
    }

    /// Nothing is under way while the client is asked: no clock of the request runs, and no restart touches it.
    fn await_input(&mut self, key: RequestKey, input: Input) {
        let Some(request) = self.requests.get(&key) else { return };
        let exchange = request.exchange();
        self.requests.asks(key, input, self.options.hold_timeout);
        self.timers.clear(Timer::Run(key));
        if let Some(exchange) = exchange {
            self.retire(exchange);
        }
    }

    /// The client answered a question of this request.
    pub(crate) fn on_input(&mut self, key: RequestKey, name: &str, envelope: &Envelope) {
        if let Some(error) = envelope.error {
            let error = error.get().to_string();
            self.forget_questions(key);
            if let Some(request) = self.forget(key) {
                let id = request.client_id();
                self.emit_message(alloc::format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#));
            }
            return;
        }
        let Some(part) = self.requests.translated(key) else { return };
        let Some(input) = &mut part.input else { return };
        if let Some(answer) = input.answers.get_mut(name) {
            *answer = Some(envelope.result.map_or_else(|| "{}".to_string(), |result| result.get().to_string()));
        }
        if input.answers.values().all(Option::is_some) {
            self.send_input(key);
        }
    }

    /// All is answered: the request goes out again.
    fn send_input(&mut self, key: RequestKey) {
        let Some(part) = self.requests.translated(key) else { return };
        let Some(input) = part.input.take() else { return };
        let answers: alloc::vec::Vec<_> = input
            .answers
            .into_iter()
            .filter_map(|(name, answer)| Some(alloc::format!("{}:{}", json::quote(&name), answer?)))
            .collect();
        let state = input.state.map(|state| alloc::format!(r#""requestState":{state},"#)).unwrap_or_default();
        part.answers = alloc::format!(r#""inputResponses":{{{}}},{state}"#, answers.join(","));
        // A state may be good for one time only.
        let Some(left) = self.requests.is_answered(key) else { return };
        self.start_hold(key, left);
        self.requeue(Queued::request(key));
    }

    /// The client need not answer what this request asked it.
    pub(crate) fn forget_questions(&mut self, key: RequestKey) {
        for id in self.inbox.request_over(key) {
            self.emit_message(alloc::format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":"the request that asked is over"}}}}"#
            ));
        }
    }

    /// Whether the client declared that it can be asked so.
    fn client_can(&self, method: &str) -> bool {
        let capability = method.split('/').next().unwrap_or_default();
        let text = self.client.initialize.as_ref().map_or("", |initialize| &initialize.text);
        let capabilities = json::member(text, "params").and_then(|params| json::member(params.get(), "capabilities"));
        capabilities.is_some_and(|capabilities| json::member(capabilities.get(), capability).is_some())
    }
}
