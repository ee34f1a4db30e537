//! The session to ask with.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::answer::{Answer, Reply};
use super::fake::{fake_endpoint, fake_id};
use super::{DeadSession, Resumption};
use crate::policy::replay::Evidence;
use crate::policy::session_loss;
use crate::wire::cookies::Jar;
use crate::wire::http;
use crate::wire::json;
use crate::wire::modern;
use crate::wire::url::{Url, UrlError};
use crate::{Instant, Method, Request, Transport};

/// Redirects that are followed.
const MAX_REDIRECTS: u32 = 5;

/// A session of its own on a server, to ask with. Every request but the first needs what earlier answers taught:
/// [`Survey::opened`] first.
#[derive(Clone, Debug)]
pub struct Survey {
    url: Url,
    headers: Vec<(String, String)>,
    transport: Transport,
    version: String,
    session: Option<String>,
    endpoint: Option<Url>,
    redirects: u32,
    cookies: Jar,
    /// The id of the last request.
    id: u64,
}

/// Why the answer to [`Survey::open`] begins no session. Its `Display` is for people.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NoSession {
    /// What the server answered instead: see [`Answer::describe`].
    Answer(String),
    /// HTTP+SSE: the URL to POST to cannot be used.
    Endpoint(UrlError),
    /// HTTP+SSE: the URL to POST to is in another origin than the stream.
    OtherOrigin,
}

impl fmt::Display for NoSession {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(answer) => to.write_str(answer),
            Self::Endpoint(problem) => problem.fmt(to),
            Self::OtherOrigin => to.write_str("the endpoint is in another origin"),
        }
    }
}

impl core::error::Error for NoSession {}

impl Survey {
    /// A survey of the server at `url`, whose transport and protocol version an engine has found.
    pub fn new(
        url: &str,
        headers: Vec<(String, String)>,
        transport: Transport,
        version: &str,
    ) -> Result<Self, UrlError> {
        let url = Url::parse(url)?;
        let (version, cookies) = (version.into(), Jar::default());
        Ok(Self { url, headers, transport, version, session: None, endpoint: None, redirects: 0, cookies, id: 1 })
    }

    /// What opens the session: the POST of [`super::initialize`], or the GET of the HTTP+SSE stream, which has to stay open until
    /// the survey is over.
    pub fn open(&self, initialize: &str) -> Request {
        match self.transport {
            Transport::StreamableHttp => self.request(Method::Post, &self.url, initialize, &[]),
            Transport::HttpSse => self.request(Method::Get, &self.url, "", &[]),
        }
    }

    /// A `server/discover`, which needs no session: it finds out whether the server speaks a version without sessions (MCP
    /// 2026-07-28). `None`: the transport knows none.
    pub fn discover(&self) -> Option<Request> {
        let text = alloc::format!(
            concat!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{{"_meta":{{"{}":"{}","{}":{{}}}}}}}}"#
            ),
            modern::VERSION_KEY,
            modern::FIRST,
            modern::CAPABILITIES_KEY
        );
        let headers = [
            ("mcp-protocol-version".to_string(), modern::FIRST.to_string()),
            ("mcp-method".to_string(), "server/discover".to_string()),
        ];
        let speaks_http = self.transport == Transport::StreamableHttp;
        speaks_http.then(|| self.request(Method::Post, &self.url, &text, &headers))
    }

    /// Whether the answer is a redirect that the engine would follow (307 or 308 inside the origin). Then the request is to
    /// be built and made again.
    pub fn redirected(&mut self, answer: &Answer) -> bool {
        let target = answer.location.as_deref().and_then(|location| self.url.resolve_iri(location).ok());
        match target {
            Some(target)
                if matches!(answer.status, 307 | 308)
                    && target.same_origin(&self.url)
                    && self.redirects < MAX_REDIRECTS =>
            {
                self.redirects += 1;
                self.url = target;
                true
            }
            _ => false,
        }
    }

    /// Learns from the answer to [`Survey::open`].
    pub fn opened(&mut self, answer: &Answer) -> Result<(), NoSession> {
        match self.transport {
            Transport::StreamableHttp if answer.is_result() => {
                self.session = answer.session_id.clone();
                Ok(())
            }
            Transport::HttpSse => {
                let endpoint = answer.endpoint.as_deref().ok_or_else(|| NoSession::Answer(answer.describe()))?;
                let endpoint = self.url.resolve_iri(endpoint.trim()).map_err(NoSession::Endpoint)?;
                if !endpoint.same_origin(&self.url) {
                    return Err(NoSession::OtherOrigin);
                }
                self.endpoint = Some(endpoint);
                Ok(())
            }
            Transport::StreamableHttp => Err(NoSession::Answer(answer.describe())),
        }
    }

    /// Takes the cookies of a response of the session, which later requests carry as the engine's do. A survey has no clock: none of
    /// them expires.
    pub fn learn_cookies(&mut self, answer: &Answer) {
        for line in &answer.cookies {
            // What does not fit is not sent.
            let _ = self.cookies.set(line, &self.url, None, Instant::ZERO);
        }
    }

    /// A list, as the verification of a session asks for one: `tools/list` and the like. On HTTP+SSE its answer comes on the stream.
    pub fn list(&mut self, method: &str) -> Request {
        self.id += 1;
        let text = alloc::format!(r#"{{"jsonrpc":"2.0","id":{},"method":{}}}"#, self.id, json::quote(method));
        self.request(Method::Post, self.post_url(), &text, &self.session_headers(self.session.as_deref()))
    }

    /// Whether the answer to a request of the session says that there is no such session, which was begun a moment ago.
    pub fn is_lost(&self, answer: &Answer) -> bool {
        use DeadSession::{Recognised, Unauthorized, Verified};
        matches!(self.judge_dead_session(Some(answer)), Recognised | Verified | Unauthorized)
    }

    /// Whether its session is a stream that stays open, on which answers come.
    pub fn has_stream(&self) -> bool {
        self.transport == Transport::HttpSse
    }

    /// Whether the server gave the session an id.
    pub fn has_session_id(&self) -> bool {
        self.session.is_some()
    }

    /// HTTP+SSE: the POST of [`super::initialize`] to the endpoint; its answer comes on the stream. `None` on Streamable HTTP,
    /// where it was made already.
    pub fn initialize(&self, initialize: &str) -> Option<Request> {
        self.endpoint.as_ref().map(|endpoint| self.request(Method::Post, endpoint, initialize, &[]))
    }

    /// `notifications/initialized`, which ends the handshake.
    pub fn initialized(&self) -> Request {
        let text = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        self.request(Method::Post, self.post_url(), text, &self.session_headers(self.session.as_deref()))
    }

    /// A `ping`. On HTTP+SSE its answer comes on the stream.
    pub fn ping(&mut self) -> Request {
        self.id += 1;
        let text = ping(self.id);
        self.request(Method::Post, self.post_url(), &text, &self.session_headers(self.session.as_deref()))
    }

    /// A `ping` in a session that the server never gave, with an id of the form of its own. `None`: it gives no ids.
    pub fn ping_dead_session(&self) -> Option<Request> {
        match self.transport {
            Transport::StreamableHttp => {
                let session = fake_id(self.session.as_deref()?);
                Some(self.request(Method::Post, &self.url, &ping(1), &self.session_headers(Some(&session))))
            }
            Transport::HttpSse => {
                let endpoint = self.url.resolve(&fake_endpoint(self.endpoint.as_ref()?)?).ok()?;
                Some(self.request(Method::Post, &endpoint, &ping(1), &[]))
            }
        }
    }

    /// The GET of the standalone event stream. `None` on HTTP+SSE, which is nothing but such a stream.
    pub fn event_stream(&self) -> Option<Request> {
        (self.transport == Transport::StreamableHttp)
            .then(|| self.request(Method::Get, &self.url, "", &self.session_headers(self.session.as_deref())))
    }

    /// The GET that asks for what came after the first event of `answer` that had an id. `None`: none had one.
    pub fn resume(&self, answer: &Answer) -> Option<Request> {
        let id = answer.event_ids.first()?;
        let mut headers = self.session_headers(self.session.as_deref());
        headers.push(("last-event-id".to_string(), id.clone()));
        (self.transport == Transport::StreamableHttp).then(|| self.request(Method::Get, &self.url, "", &headers))
    }

    /// The DELETE that ends the session. `None`: it has no id, or ends with its stream.
    pub fn delete(&self) -> Option<Request> {
        let session = self.session.as_deref()?;
        Some(self.request(Method::Delete, &self.url, "", &self.session_headers(Some(session))))
    }

    /// What the answer to [`Survey::ping_dead_session`] means to the engine. `None`: none came in time.
    pub fn judge_dead_session(&self, answer: Option<&Answer>) -> DeadSession {
        let Some(answer) = answer else { return DeadSession::Silent };
        if !(200..300).contains(&answer.status) {
            let refusal = answer.refusal();
            return match refusal.evidence(self.transport, true) {
                Evidence::SessionLost => DeadSession::Recognised,
                Evidence::Refused if refusal.may_mean_loss() => DeadSession::Verified,
                Evidence::Unauthorized => DeadSession::Unauthorized,
                Evidence::Busy { .. } => DeadSession::Busy,
                Evidence::Unknown | Evidence::NotSent => DeadSession::Unclear,
                Evidence::NotTaken | Evidence::Refused => DeadSession::NotRecognised,
            };
        }
        match &answer.reply {
            _ if self.transport == Transport::HttpSse => DeadSession::Silent,
            Some(Reply::Result) => DeadSession::Ignored,
            Some(Reply::Error { code, message }) if session_loss::error_may_mean_loss(*code, message) => {
                DeadSession::Verified
            }
            Some(Reply::Error { .. }) => DeadSession::NotRecognised,
            None => DeadSession::Silent,
        }
    }

    /// What the answer to [`Survey::resume`] means.
    pub fn judge_resume(&self, answer: &Answer) -> Resumption {
        match (&answer.reply, answer.is_event_stream()) {
            (Some(Reply::Result), true) => Resumption::Replayed,
            (_, true) => Resumption::Accepted,
            (_, false) => Resumption::Refused,
        }
    }

    fn post_url(&self) -> &Url {
        self.endpoint.as_ref().unwrap_or(&self.url)
    }

    fn session_headers(&self, session: Option<&str>) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        if self.transport == Transport::StreamableHttp {
            if let Some(session) = session {
                headers.push(("mcp-session-id".to_string(), session.to_string()));
            }
            // As the engine does it: the header came with 2025-06-18.
            if self.version.as_str() >= "2025-06-18" {
                headers.push(("mcp-protocol-version".to_string(), self.version.clone()));
            }
        }
        headers
    }

    fn request(&self, method: Method, url: &Url, body: &str, extra: &[(String, String)]) -> Request {
        let mut headers = self.headers.clone();
        let standard = http::standard_headers(method).iter();
        headers.extend(standard.map(|(name, value)| (name.to_string(), value.to_string())));
        headers.extend_from_slice(extra);
        let own = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("cookie"));
        let own = own.map(|(_, value)| value.trim().trim_end_matches(';').to_string()).unwrap_or_default();
        if let Some(cookies) = self.cookies.header(url, &own, Instant::ZERO) {
            let whole = if own.is_empty() { cookies } else { alloc::format!("{own}; {cookies}") };
            headers.retain(|(name, _)| !name.eq_ignore_ascii_case("cookie"));
            headers.push(("cookie".to_string(), whole));
        }
        Request {
            method,
            https: url.https(),
            authority: url.authority().to_string(),
            path: url.path_and_query().to_string(),
            headers,
            body: body.as_bytes().to_vec(),
        }
    }
}

fn ping(id: u64) -> String {
    alloc::format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#)
}

#[cfg(test)]
mod tests {
    use super::super::NEWEST_VERSION;
    use super::*;

    fn answer(status: u16, kind: &str, body: &str) -> Answer {
        let mut answer = Answer::new(status, &[("Content-Type".into(), kind.as_bytes().to_vec())]);
        answer.feed(body.as_bytes());
        answer.end();
        answer
    }

    fn survey(transport: Transport) -> Survey {
        Survey::new("http://h/mcp", Vec::new(), transport, NEWEST_VERSION).unwrap()
    }

    fn opened() -> Survey {
        let mut survey = survey(Transport::StreamableHttp);
        let headers = [
            ("mcp-session-id".to_string(), b"6f1c0a52-9d1b-4b41-8a54-0f4a2f5e7c11".to_vec()),
            ("content-type".to_string(), b"application/json".to_vec()),
        ];
        let mut answer = Answer::new(200, &headers);
        answer.feed(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
        answer.end();
        survey.opened(&answer).unwrap();
        survey
    }

    #[test]
    fn a_session_is_what_a_result_begins() {
        let mut survey = survey(Transport::StreamableHttp);
        assert!(!survey.has_session_id());
        let error = answer(200, "application/json", r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no"}}"#);
        assert!(survey.opened(&error).is_err() && !survey.has_session_id());
        assert!(opened().has_session_id());
    }

    #[test]
    fn a_session_that_was_just_begun_is_lost_where_the_engine_would_make_another() {
        let survey = opened();
        for (status, body, lost) in [
            (404, "", true),
            (410, "", true),
            (401, "", true),
            (200, r#"{"jsonrpc":"2.0","id":2,"result":{}}"#, false),
            (429, "", false),
            (500, "", false),
            (202, "", false),
        ] {
            assert_eq!(survey.is_lost(&answer(status, "application/json", body)), lost, "{status}");
        }
        // On HTTP+SSE the answer to a POST says nothing.
        let sse = self::survey(Transport::HttpSse);
        let result = answer(200, "application/json", r#"{"jsonrpc":"2.0","id":2,"result":{}}"#);
        assert_eq!(sse.judge_dead_session(Some(&result)), DeadSession::Silent);
    }

    #[test]
    fn no_two_requests_have_one_id() {
        let mut survey = opened();
        let id = |request: &Request| serde_json::from_slice::<serde_json::Value>(&request.body).unwrap()["id"].as_u64();
        let ids = [survey.list("tools/list"), survey.ping(), survey.list("tools/list")].map(|request| id(&request));
        assert_eq!(ids, [Some(2), Some(3), Some(4)]);
    }

    fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
        request.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn the_requests_of_a_session_carry_it() {
        let mut survey = opened();
        let real = header(&survey.ping(), "mcp-session-id").map(ToString::to_string);
        assert!(real.is_some());
        assert_eq!(header(&survey.delete().unwrap(), "mcp-session-id"), real.as_deref());
        assert_eq!(header(&survey.event_stream().unwrap(), "mcp-session-id"), real.as_deref());
        assert_eq!(header(&survey.initialized(), "mcp-protocol-version"), Some(NEWEST_VERSION));
        let dead = survey.ping_dead_session().unwrap();
        assert!(header(&dead, "mcp-session-id").is_some_and(|id| Some(id) != real.as_deref()));
        assert!(super::tests::survey(Transport::StreamableHttp).ping_dead_session().is_none());
    }

    #[test]
    fn every_answer_to_a_dead_session_has_its_meaning() {
        use DeadSession::*;
        let survey = opened();
        let json = "application/json";
        for (status, kind, body, meaning) in [
            (
                404,
                json,
                r#"{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":null}"#,
                Recognised,
            ),
            (
                400,
                json,
                r#"{"error":{"code":-32000,"message":"Bad Request: No valid session ID provided"}}"#,
                Recognised,
            ),
            (400, json, r#"{"error":{"code":-32602,"message":"bad cursor"}}"#, Verified),
            (400, json, r#"{"id":2,"error":{"code":-32602,"message":"bad cursor"}}"#, NotRecognised),
            (410, "", "", Verified),
            (200, json, r#"{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":2}"#, Verified),
            (200, json, r#"{"jsonrpc":"2.0","error":{"code":-32001,"message":"no"},"id":2}"#, NotRecognised),
            (200, json, r#"{"jsonrpc":"2.0","result":{},"id":2}"#, Ignored),
            (202, "", "", Silent),
            (401, "", "", Unauthorized),
            (429, "", "", Busy),
            (500, "text/html", "<html>", Unclear),
        ] {
            let answer = answer(status, kind, body);
            assert_eq!(survey.judge_dead_session(Some(&answer)), meaning, "{status} {body}");
        }
        assert_eq!(survey.judge_dead_session(None), Silent);
    }

    #[test]
    fn the_cookies_of_a_session_go_with_its_requests() {
        let mut survey = opened();
        let cookie = ("Set-Cookie".to_string(), b"node=a; Path=/; HttpOnly".to_vec());
        let answer = Answer::new(200, &[cookie, ("set-cookie".into(), b"\xff".to_vec())]);
        assert_eq!(answer.cookie_names().collect::<Vec<_>>(), ["node"]);
        survey.learn_cookies(&answer);
        assert_eq!(header(&survey.ping(), "cookie"), Some("node=a"));
        survey.headers = Vec::from([("Cookie".to_string(), "theme=dark;".to_string())]);
        let list = survey.list("tools/list");
        assert_eq!(header(&list, "cookie"), Some("theme=dark; node=a"));
        assert!(header(&list, "mcp-session-id").is_some() && header(&list, "accept").is_some());
        assert_eq!(list.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("cookie")).count(), 1);
        survey.headers = Vec::from([("Cookie".to_string(), "node=b".to_string())]);
        assert_eq!(header(&survey.ping(), "Cookie"), Some("node=b"));
    }

    #[test]
    fn what_an_answer_says_of_itself() {
        let of = |name: &str, value: &str| Answer::new(503, &[(name.to_string(), value.as_bytes().to_vec())]);
        assert_eq!(of("Content-Encoding", "gzip").coding(), Some("gzip"));
        assert_eq!(of("Content-Encoding", "identity").coding(), None);
        assert!(answer(400, "", r#"{"error":{"code":-32600,"message":"no"}}"#).is_error());
        assert!(!answer(400, "", "no").is_error());
    }

    #[test]
    fn a_stream_is_read_until_its_answer() {
        let mut stream = Answer::new(200, &[("content-type".into(), b"text/event-stream".to_vec())]);
        stream.feed(b"id: 1\ndata:\n\n");
        assert!(stream.has_event_ids() && !stream.is_enough());
        stream.feed(b"id: 2\ndata: {\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}\n\n");
        assert!(stream.is_enough() && stream.is_result());
        let mut next = stream.clone();
        next.await_next();
        assert!(!next.is_enough());
        let survey = opened();
        assert_eq!(header(&survey.resume(&stream).unwrap(), "last-event-id"), Some("1"));
        assert_eq!(survey.judge_resume(&stream), Resumption::Replayed);
        assert_eq!(survey.judge_resume(&answer(405, "", "")), Resumption::Refused);
        assert_eq!(survey.judge_resume(&answer(200, "text/event-stream", "")), Resumption::Accepted);
    }

    #[test]
    fn a_stream_names_its_endpoint_in_its_own_origin() {
        let mut survey = survey(Transport::HttpSse);
        let of = |data: &str| answer(200, "text/event-stream", &alloc::format!("event: endpoint\ndata: {data}\n\n"));
        assert!(survey.opened(&of("http://other/x")).is_err());
        survey.opened(&of("/message?sessionId=12345678")).unwrap();
        assert_eq!(survey.ping_dead_session().unwrap().path, "/message?sessionId=67890123");
        assert_eq!(survey.initialize("{}").unwrap().path, "/message?sessionId=12345678");
        let (one, two) = (survey.ping(), survey.ping());
        assert!(one.path == "/message?sessionId=12345678" && one.body != two.body);
        assert!(survey.delete().is_none() && survey.event_stream().is_none());
    }

    #[test]
    fn a_discover_tells_which_versions_there_are() {
        let request = survey(Transport::StreamableHttp).discover().unwrap();
        assert_eq!(header(&request, "mcp-protocol-version"), Some("2026-07-28"));
        assert!(survey(Transport::HttpSse).discover().is_none());
        for (body, versions) in [
            (r#"{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2025-11-25","2026-07-28"]}}"#, 1),
            (r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"","data":{"supported":["2026-07-28"]}}}"#, 1),
            (r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Server not initialized"}}"#, 0),
            ("<html>", 0),
        ] {
            assert_eq!(answer(200, "application/json", body).versions_without_sessions().len(), versions, "{body}");
        }
    }

    #[test]
    fn redirects_stay_in_the_origin() {
        let mut survey = survey(Transport::StreamableHttp);
        let to = |location: &str| Answer::new(307, &[("location".into(), location.as_bytes().to_vec())]);
        assert!(!survey.redirected(&to("https://other/mcp")));
        assert!(survey.redirected(&to("/mcp/")));
        assert_eq!(survey.ping().path, "/mcp/");
        let followed = (0..20).take_while(|_| survey.redirected(&to("/again"))).count();
        assert_eq!(followed, MAX_REDIRECTS as usize - 1);
    }
}
