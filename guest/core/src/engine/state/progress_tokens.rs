//! Which progress tokens are valid: those of requests that are not answered, and those of tasks (MCP 2025-11-25, "Tasks"),
//! which outlive the answer that created the task until its status is terminal or its `ttl` is over.

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Instant;
use crate::engine::state::requests::RequestKey;
use crate::wire::json;

/// The most tasks whose tokens are kept in one direction; the oldest gives way.
const MAX_TASKS: usize = 1024;
/// The longest token and task id that is kept, in bytes.
const MAX_BYTES: usize = 1024;

/// What a request has to do with tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum TaskPart {
    #[default]
    None,
    /// It asks for a task (`params.task`).
    Creates,
    /// Its result holds the status of tasks: `tasks/get`, `tasks/cancel`, `tasks/list`.
    Tells,
    /// It is answered when this task is over: `tasks/result`.
    Awaits(String),
}

impl TaskPart {
    /// By the method and the raw `task` and `taskId` of the params.
    pub fn of(method: &str, task: Option<&str>, task_id: Option<&str>) -> Self {
        match method {
            "tasks/get" | "tasks/cancel" | "tasks/list" => Self::Tells,
            "tasks/result" => task_id
                .and_then(|id| serde_json::from_str::<String>(id).ok())
                .filter(|id| id.len() <= MAX_BYTES)
                .map_or(Self::None, Self::Awaits),
            _ if task.is_some_and(|task| task != "null") => Self::Creates,
            _ => Self::None,
        }
    }
}

/// A task, as results and notifications describe it.
#[derive(Deserialize)]
struct Task<'a> {
    #[serde(borrow, rename = "taskId")]
    id: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    /// Milliseconds; absent or `null`: without end.
    #[serde(default)]
    ttl: Option<f64>,
}

impl Task<'_> {
    fn is_over(&self) -> bool {
        matches!(&*self.status, "completed" | "failed" | "cancelled")
    }
}

/// The places in a result where a task may stand.
#[derive(Deserialize)]
struct RawTasks<'a> {
    #[serde(borrow, default)]
    task: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tasks: Option<Vec<&'a RawValue>>,
}

/// The tokens of the tasks of one side, by the task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct TaskTokens {
    by_task: BTreeMap<String, TaskToken>,
    added: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct TaskToken {
    token: String,
    /// When its `ttl` is over, if it has one.
    until: Option<Instant>,
    /// Its place in the order in which they came.
    number: u64,
}

impl TaskTokens {
    fn holds(&self, token: &str, now: Instant) -> bool {
        self.by_task.values().any(|task| task.token == token && task.until.is_none_or(|until| now < until))
    }

    fn add(&mut self, task: &Task, token: String, now: Instant) {
        if task.is_over() || token.len() > MAX_BYTES || task.id.len() > MAX_BYTES {
            return;
        }
        self.by_task.retain(|_, task| task.until.is_none_or(|until| now < until));
        if self.by_task.len() >= MAX_TASKS
            && let Some(oldest) = self.by_task.iter().min_by_key(|(_, task)| task.number).map(|(id, _)| id.clone())
        {
            self.by_task.remove(&oldest);
        }
        // A conversion of a float saturates, and makes 0 of what is no number.
        let until = task.ttl.map(|ttl| now + Duration::from_millis(ttl as u64));
        self.added += 1;
        self.by_task.insert(task.id.clone().into_owned(), TaskToken { token, until, number: self.added });
    }

    /// A request about tasks was answered; `result` is none where that was an error.
    fn answered(&mut self, part: &TaskPart, token: Option<&str>, result: Option<&str>, now: Instant) {
        match (part, result, token) {
            (TaskPart::Creates, Some(result), Some(token)) => {
                let task = json::object::<RawTasks>(result).and_then(|raw| raw.task);
                if let Some(task) = task.and_then(|task| json::object::<Task>(task.get())) {
                    self.add(&task, token.into(), now);
                }
            }
            (TaskPart::Tells, Some(result), _) if !self.by_task.is_empty() => {
                self.told(result);
                let tasks = json::object::<RawTasks>(result).and_then(|raw| raw.tasks);
                for task in tasks.iter().flatten() {
                    self.told(task.get());
                }
            }
            (TaskPart::Awaits(task), ..) => {
                self.by_task.remove(task);
            }
            _ => {}
        }
    }

    /// The state of a task was told.
    fn told(&mut self, task: &str) {
        if !self.by_task.is_empty()
            && let Some(task) = json::object::<Task>(task)
            && task.is_over()
        {
            self.by_task.remove(&*task.id);
        }
    }
}

/// The tokens that are valid, in both directions, each in one spelling.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ProgressTokens {
    /// Of the client's requests. Several may share one.
    requests: BTreeMap<String, BTreeSet<RequestKey>>,
    /// Of tasks of the server, which are bound to no session.
    servers: TaskTokens,
    /// Of tasks of the client. The tokens are the server's, and mean something in the session that gave them.
    clients: TaskTokens,
}

impl ProgressTokens {
    /// A request of the client carries this token.
    pub fn add(&mut self, token: &str, request: RequestKey) {
        self.requests.entry(token.into()).or_default().insert(request);
    }

    /// The request is over.
    pub fn remove(&mut self, token: &str, request: RequestKey) {
        if let Some(requests) = self.requests.get_mut(token) {
            requests.remove(&request);
            if requests.is_empty() {
                self.requests.remove(token);
            }
        }
    }

    /// The client's requests that carry this token.
    pub fn requests(&self, token: &str) -> impl Iterator<Item = RequestKey> {
        self.requests.get(token).into_iter().flatten().copied()
    }

    /// Whether a task of the server reports under this token of the client's.
    pub fn is_of_task(&self, token: &str, now: Instant) -> bool {
        self.servers.holds(token, now)
    }

    /// Whether a task of the client's reports under this token of the server's.
    pub fn is_of_clients_task(&self, token: &str, now: Instant) -> bool {
        self.clients.holds(token, now)
    }

    /// The server answered a request of the client's.
    pub fn server_answered(&mut self, part: &TaskPart, token: Option<&str>, result: Option<&str>, now: Instant) {
        self.servers.answered(part, token, result, now);
    }

    /// The client answered a request of the server's.
    pub fn client_answered(&mut self, part: &TaskPart, token: Option<&str>, result: Option<&str>, now: Instant) {
        self.clients.answered(part, token, result, now);
    }

    /// `notifications/tasks/status` of the server, with these params.
    pub fn server_told(&mut self, params: &str) {
        self.servers.told(params);
    }

    /// `notifications/tasks/status` of the client, with these params.
    pub fn client_told(&mut self, params: &str) {
        self.clients.told(params);
    }

    /// The session is over, and with it the server's tokens.
    pub fn end_session(&mut self) {
        self.clients = TaskTokens::default();
    }

    /// Another client: no task is its.
    pub fn forget_tasks(&mut self) {
        self.servers = TaskTokens::default();
        self.clients = TaskTokens::default();
    }
}

/// The params of a `notifications/tasks/status` message.
pub(crate) fn status_params(text: &str) -> Option<&str> {
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(borrow)]
        params: &'a RawValue,
    }
    json::object::<Message>(text).map(|message| message.params.get())
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;
    use crate::MILLISECOND;
    use crate::api::time::tests::at;

    fn created(id: &str, ttl: &str) -> String {
        format!(r#"{{"task":{{"taskId":"{id}","status":"working","ttl":{ttl}}}}}"#)
    }

    fn create(tokens: &mut ProgressTokens, id: &str, ttl: &str, token: &str) {
        tokens.server_answered(&TaskPart::Creates, Some(token), Some(&created(id, ttl)), at(0));
    }

    #[test]
    fn what_a_request_has_to_do_with_tasks() {
        for (method, task, id, part) in [
            ("tools/call", Some("{}"), None, TaskPart::Creates),
            ("tools/call", Some("null"), None, TaskPart::None),
            ("tools/call", None, Some("\"t\""), TaskPart::None),
            ("tasks/get", None, Some("\"t\""), TaskPart::Tells),
            ("tasks/list", None, None, TaskPart::Tells),
            ("tasks/result", None, Some("\"\\u0074\""), TaskPart::Awaits("t".into())),
            ("tasks/result", None, Some("5"), TaskPart::None),
        ] {
            assert_eq!(TaskPart::of(method, task, id), part, "{method}");
        }
    }

    #[test]
    fn a_token_is_valid_while_one_request_carries_it() {
        let mut tokens = ProgressTokens::default();
        tokens.add("1", RequestKey(1));
        tokens.add("1", RequestKey(2));
        tokens.remove("1", RequestKey(2));
        assert_eq!(tokens.requests("1").collect::<Vec<_>>(), [RequestKey(1)]);
        tokens.remove("1", RequestKey(1));
        tokens.remove("1", RequestKey(1));
        assert_eq!(tokens, ProgressTokens::default());
    }

    #[test]
    fn a_ttl_is_obeyed_however_it_is_spelt() {
        for (ttl, end) in [("5", 5_000_000), ("5.9", 5_000_000), ("0", 0), ("-3", 0), ("1e300", u64::MAX)] {
            let mut tokens = ProgressTokens::default();
            create(&mut tokens, "t", ttl, "1");
            assert!(!tokens.is_of_task("1", at(end)), "{ttl}");
            assert_eq!(tokens.is_of_task("1", at(end.saturating_sub(1))), end > 0, "{ttl}");
        }
        for ttl in ["null", "1e999"] {
            let mut tokens = ProgressTokens::default();
            create(&mut tokens, "t", ttl, "1");
            assert_eq!(tokens.is_of_task("1", Instant::MAX), ttl == "null");
        }
    }

    #[test]
    fn tasks_are_bounded_and_the_oldest_gives_way() {
        let mut tokens = ProgressTokens::default();
        for number in 0..=MAX_TASKS {
            create(&mut tokens, &format!("{}", 10_000 - number), "null", &format!("{number}"));
        }
        assert!(!tokens.is_of_task("0", at(0)));
        assert!(tokens.is_of_task("1", at(0)) && tokens.is_of_task(&format!("{MAX_TASKS}"), at(0)));
        // Those that are over make room.
        let mut tokens = ProgressTokens::default();
        for number in 0..MAX_TASKS {
            create(&mut tokens, &format!("{number}"), if number == 5 { "1" } else { "null" }, &format!("{number}"));
        }
        tokens.server_answered(&TaskPart::Creates, Some("new"), Some(&created("new", "null")), at(0) + MILLISECOND);
        assert!(tokens.is_of_task("0", at(0) + MILLISECOND) && tokens.is_of_task("new", at(0) + MILLISECOND));
        for (id, token) in [("x".repeat(1025), "t".into()), ("x".into(), "t".repeat(1025))] {
            create(&mut tokens, &id, "null", &token);
            assert!(!tokens.is_of_task(&token, at(0)));
        }
        let (id, token) = ("x".repeat(1024), "t".repeat(1024));
        create(&mut tokens, &id, "null", &token);
        assert!(tokens.is_of_task(&token, at(0)));
    }

    #[test]
    fn a_task_lasts_until_its_ttl_is_over_or_the_client_is_another() {
        let mut tokens = ProgressTokens::default();
        create(&mut tokens, "a", "5", "1");
        tokens.server_answered(&TaskPart::Creates, Some("2"), Some(&created("b", "5")), at(0) + 4 * MILLISECOND);
        assert!(tokens.is_of_task("1", at(0) + 4 * MILLISECOND) && tokens.is_of_task("2", at(0) + 4 * MILLISECOND));
        tokens.client_answered(&TaskPart::Creates, Some("3"), Some(&created("c", "null")), at(0));
        tokens.forget_tasks();
        assert!(!tokens.is_of_task("2", at(0) + 4 * MILLISECOND) && !tokens.is_of_clients_task("3", at(0)));
    }

    #[test]
    fn the_two_directions_do_not_meet() {
        let mut tokens = ProgressTokens::default();
        create(&mut tokens, "t", "null", "1");
        assert!(!tokens.is_of_clients_task("1", at(0)));
        tokens.client_told(r#"{"taskId":"t","status":"failed"}"#);
        assert!(tokens.is_of_task("1", at(0)));
        tokens.client_answered(&TaskPart::Creates, Some("2"), Some(&created("t", "null")), at(0));
        tokens.end_session();
        assert!(tokens.is_of_task("1", at(0)) && !tokens.is_of_clients_task("2", at(0)));
        tokens.server_told(r#"{"taskId":"t","status":"failed"}"#);
        assert_eq!(tokens.servers.by_task.len(), 0);
    }

    #[test]
    fn the_oldest_task_makes_room_whatever_its_id() {
        let mut tokens = ProgressTokens::default();
        let id = |number: usize| format!("{:04}", 5000 - number);
        for number in 0..=MAX_TASKS {
            create(&mut tokens, &id(number), "null", &id(number));
        }
        assert!(!tokens.is_of_task(&id(0), at(0)));
        assert!(tokens.is_of_task(&id(1), at(0)) && tokens.is_of_task(&id(MAX_TASKS), at(0)));
    }
}
