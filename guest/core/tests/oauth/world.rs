//! A host, an MCP server and an authorization server in memory, on a clock of their own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use mcp_reconnect_core::Instant;
use mcp_reconnect_core::oauth::{
    Config, Event, Failure, FailureKind, Input, Oauth, Output, Page, Request, Response, Secret, Token,
};
use serde_json::{Value, json};

/// What a request gets.
pub type Reply = Result<Response, (String, bool)>;

/// The servers. Everything is kept in memory, and [`Servers::restart`] forgets it.
pub struct Servers {
    pub issuer: String,
    pub server: String,
    pub clients: BTreeMap<String, Value>,
    pub refresh_tokens: BTreeSet<String>,
    pub codes: BTreeMap<String, String>,
    pub expires_in: Value,
    /// In place of the usual answers: the next ones to a path, and at last the one that stays.
    pub scripted: BTreeMap<String, VecDeque<(u16, String)>>,
    /// Paths that cannot be reached.
    pub away: BTreeSet<String>,
    pub metadata: Value,
    pub counter: u64,
    pub requests: Vec<Request>,
    /// Goes with every scripted answer.
    pub retry_after: Option<&'static str>,
    /// What the device's user has done.
    pub device_answers: VecDeque<&'static str>,
}

pub fn response(status: u16, body: impl Into<String>) -> Response {
    Response { status, headers: Vec::new(), body: body.into().into_bytes() }
}

/// The value of a form or query parameter.
pub fn parameter(text: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(text.as_bytes()).find(|(n, _)| n == name).map(|(_, value)| value.into_owned())
}

/// The path of a URL.
pub fn path(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or("/", |at| rest[at..].split('?').next().unwrap())
}

impl Servers {
    pub fn new() -> Self {
        let issuer = "https://as.example".to_owned();
        Self {
            metadata: json!({
                "issuer": issuer,
                "authorization_endpoint": "https://as.example/authorize?keep=1",
                "token_endpoint": "https://as.example/token",
                "registration_endpoint": "https://as.example/register",
                "device_authorization_endpoint": "https://as.example/device",
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
                "authorization_response_iss_parameter_supported": true,
            }),
            issuer,
            server: "https://mcp.example/mcp".into(),
            clients: BTreeMap::new(),
            refresh_tokens: BTreeSet::new(),
            codes: BTreeMap::new(),
            expires_in: json!(3600),
            scripted: BTreeMap::new(),
            away: BTreeSet::new(),
            counter: 0,
            requests: Vec::new(),
            retry_after: None,
            device_answers: VecDeque::new(),
        }
    }

    /// As `kill -9` and a start: clients, tokens and codes are forgotten.
    pub fn restart(&mut self) {
        self.clients.clear();
        self.refresh_tokens.clear();
        self.codes.clear();
    }

    pub fn script(&mut self, path: &str, answers: &[(u16, &str)]) {
        let answers = answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
        self.scripted.insert(path.into(), answers);
    }

    pub fn calls(&self, wanted: &str) -> Vec<&Request> {
        self.requests.iter().filter(|request| path(&request.url) == wanted).collect()
    }

    fn next(&mut self, name: &str) -> String {
        self.counter += 1;
        format!("{name}-{}", self.counter)
    }

    fn tokens(&mut self) -> Response {
        let (access, refresh) = (self.next("s3cret-access"), self.next("s3cret-refresh"));
        self.refresh_tokens.insert(refresh.clone());
        let body = json!({"access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": self.expires_in});
        response(200, body.to_string())
    }

    fn answer(&mut self, request: &Request) -> Reply {
        self.requests.push(request.clone());
        assert!(request.max_body > 0 && !request.timeout.is_zero());
        let path = path(&request.url);
        if self.away.contains(path) {
            return Err(("connection refused".into(), false));
        }
        if let Some(answers) = self.scripted.get_mut(path) {
            let next = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
            if let Some((status, body)) = next.filter(|(status, _)| *status != 0) {
                let headers = self.retry_after.iter().map(|wish| ("Retry-After".to_owned(), (*wish).to_owned()));
                return Ok(Response { headers: headers.collect(), ..response(status, body) });
            }
        }
        let form = &request.body.0;
        Ok(match path {
            "/mcp" => Response {
                headers: vec![(
                    "WWW-Authenticate".into(),
                    r#"Bearer resource_metadata="https://mcp.example/.well-known/oauth-protected-resource/mcp", scope="read""#.into(),
                )],
                ..response(401, "")
            },
            "/.well-known/oauth-protected-resource/mcp" => response(
                200,
                json!({"resource": self.server, "authorization_servers": [self.issuer], "scopes_supported": ["all"]})
                    .to_string(),
            ),
            "/.well-known/oauth-authorization-server" => response(200, self.metadata.to_string()),
            "/register" => {
                let id = self.next("client");
                self.clients.insert(id.clone(), serde_json::from_str(form).expect("JSON"));
                response(201, json!({"client_id": id}).to_string())
            }
            "/device" => response(
                200,
                json!({"device_code": "s3cret-device", "user_code": "ABCD", "verification_uri": "https://as.example/d"})
                    .to_string(),
            ),
            "/token" => {
                let client = parameter(form, "client_id").unwrap_or_default();
                let basic = request.headers.iter().any(|(name, _)| name == "authorization");
                if !basic && !self.clients.contains_key(&client) && client != "configured" {
                    return Ok(response(401, r#"{"error":"invalid_client"}"#));
                }
                match parameter(form, "grant_type").unwrap().as_str() {
                    "refresh_token" if self.refresh_tokens.remove(&parameter(form, "refresh_token").unwrap()) => {
                        self.tokens()
                    }
                    "authorization_code" if self.codes.remove(&parameter(form, "code").unwrap()).is_some() => self.tokens(),
                    "client_credentials" => self.tokens(),
                    "urn:ietf:params:oauth:grant-type:device_code" => match self.device_answers.pop_front() {
                        Some("ok") => self.tokens(),
                        Some(error) => response(400, json!({"error": error}).to_string()),
                        None => response(400, r#"{"error":"authorization_pending"}"#),
                    },
                    _ => response(400, r#"{"error":"invalid_grant"}"#),
                }
            }
            _ => response(404, "<html>"),
        })
    }
}

/// What another process does to the store and the servers.
pub type Meanwhile = Box<dyn FnOnce(&mut Option<Secret>, &mut Servers)>;

/// One process: a machine and its host. Several share a store when a test passes it on.
pub struct World {
    pub oauth: Oauth,
    pub servers: Servers,
    pub now: Instant,
    pub wall: u64,
    pub store: Option<Secret>,
    pub locked: bool,
    pub listening: bool,
    /// Nobody can listen for the browser: why.
    pub no_listener: Option<&'static str>,
    pub opened: Vec<String>,
    pub codes: Vec<(String, String)>,
    /// For how many seconds the last of them is good.
    pub code_life: u64,
    pub pages: Vec<Page>,
    pub events: Vec<Event>,
    pub done: Vec<Result<Token, Failure>>,
    /// Text of every output, as a log would show it.
    pub shown: String,
    /// Runs before the lock is given, as another process would.
    pub meanwhile: Option<Meanwhile>,
}

impl World {
    pub fn new(config: Config) -> Self {
        let mut oauth = Oauth::new(config, [3; 32]).expect("a good configuration");
        assert!(oauth.is_idle() && oauth.poll_output().is_none());
        Self {
            oauth,
            servers: Servers::new(),
            now: Instant::ZERO,
            wall: 1_800_000_000,
            store: None,
            locked: false,
            listening: false,
            no_listener: None,
            opened: Vec::new(),
            codes: Vec::new(),
            code_life: 0,
            pages: Vec::new(),
            events: Vec::new(),
            done: Vec::new(),
            shown: String::new(),
            meanwhile: None,
        }
    }

    pub fn standard() -> Self {
        Self::new(Config::new("https://mcp.example/mcp?key=s3cret-query"))
    }

    /// Another process with the same store and the same servers.
    pub fn beside(&mut self, config: Config) -> Self {
        let mut other = Self::new(config);
        std::mem::swap(&mut other.servers, &mut self.servers);
        (other.store, other.now, other.wall) = (self.store.clone(), self.now, self.wall);
        other
    }

    pub fn input(&mut self, input: Input) {
        self.oauth.handle(self.now, self.wall, input);
        while let Some(output) = self.oauth.poll_output() {
            // The URL itself is for the person.
            if !matches!(output, Output::Authorize(_)) {
                self.shown += &format!("{output:?}\n");
            }
            let input = match output {
                Output::Load => Input::Loaded(self.store.clone()),
                Output::Lock => {
                    assert!(!std::mem::replace(&mut self.locked, true), "locked twice");
                    if let Some(meanwhile) = self.meanwhile.take() {
                        meanwhile(&mut self.store, &mut self.servers);
                    }
                    Input::Locked(self.store.clone())
                }
                Output::Store(text) => {
                    assert!(self.locked, "stored without the lock");
                    self.store = Some(text);
                    continue;
                }
                Output::Unlock => {
                    assert!(std::mem::take(&mut self.locked), "unlocked twice");
                    continue;
                }
                Output::Send(request) => match self.servers.answer(&request) {
                    Ok(response) => Input::Response(request.id, response),
                    Err((detail, for_good)) => Input::Failed { request: request.id, detail, for_good },
                },
                Output::Listen => match self.no_listener {
                    None => {
                        self.listening = true;
                        Input::Listening(4321)
                    }
                    Some(why) => Input::ListenFailed(why.into()),
                },
                Output::StopListening => {
                    self.listening = false;
                    continue;
                }
                Output::Answer(page) => {
                    self.pages.push(page);
                    continue;
                }
                Output::Authorize(url) => {
                    self.opened.push(url);
                    continue;
                }
                Output::UserCode { url, code, expires_in } => {
                    self.code_life = expires_in;
                    self.codes.push((url, code));
                    continue;
                }
                Output::Event(event) => {
                    self.shown += &format!("{event}\n");
                    self.events.push(event);
                    continue;
                }
                Output::Done(result) => {
                    assert!(!self.locked && !self.listening && self.oauth.is_idle(), "something was left behind");
                    self.done.push(result);
                    continue;
                }
            };
            self.oauth.handle(self.now, self.wall, input);
        }
        assert!(
            self.oauth.is_idle() || self.oauth.deadline().is_some() || !self.opened.is_empty(),
            "a wait without an end: {:?}",
            self.oauth
        );
    }

    /// Lets time pass until the run is over, or for so many seconds.
    pub fn pass(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        let wall = self.wall + seconds;
        while let Some(at) = self.oauth.deadline().filter(|at| *at <= end) {
            self.wall += (at - self.now).as_secs();
            self.now = self.now.max(at);
            self.input(Input::Tick);
        }
        (self.now, self.wall) = (end, wall);
    }

    /// The result of the last run, which must be over.
    pub fn result(&self) -> Result<&Token, (FailureKind, &str)> {
        assert!(self.oauth.is_idle(), "the run is not over");
        self.done.last().expect("a result").as_ref().map_err(|failure| (failure.kind, failure.text.as_str()))
    }

    pub fn token(&self) -> String {
        self.result().expect("a token").access.0.clone()
    }

    pub fn acquire(&mut self, rejected: Option<(u16, &str)>) -> Result<&Token, (FailureKind, &str)> {
        self.input(Input::Acquire { rejected: rejected.map(|(status, text)| (status, text.to_owned())) });
        self.pass(30);
        self.result()
    }

    /// 401, with the challenge of the MCP server.
    pub fn rejected(&mut self) -> Result<&Token, (FailureKind, &str)> {
        self.acquire(Some((401, r#"Bearer error="invalid_token""#)))
    }

    /// The query that an honest authorization server sends the browser back with.
    pub fn good_query(&mut self) -> String {
        let url = self.opened.last().expect("a browser was opened").clone();
        let query = url.split_once('?').unwrap().1;
        let state = parameter(query, "state").unwrap();
        let code = self.servers.next("s3cret-code");
        self.servers.codes.insert(code.clone(), parameter(query, "code_challenge").unwrap());
        form_urlencoded::Serializer::new(String::new())
            .append_pair("code", &code)
            .append_pair("state", &state)
            .append_pair("iss", &self.servers.issuer)
            .finish()
    }

    pub fn callback(&mut self, query: &str) -> Page {
        self.input(Input::Callback(query.to_owned().into()));
        *self.pages.last().unwrap()
    }

    /// A person's sign-in, up to the browser.
    pub fn begin(&mut self) {
        self.input(Input::SignIn { by_person: true });
    }

    /// A person's sign-in, to its end.
    pub fn sign_in(&mut self) -> String {
        self.begin();
        let query = self.good_query();
        assert_eq!(self.callback(&query), Page::Received);
        self.token()
    }

    pub fn record(&self) -> Value {
        self.store.as_ref().map_or(Value::Null, |text| serde_json::from_str(&text.0).expect("JSON"))
    }

    /// Nothing secret is in what a log would show.
    pub fn must_not_leak(&self) {
        for result in &self.done {
            assert!(!format!("{result:?}").contains("s3cret"));
        }
        assert!(!self.shown.contains("s3cret"), "{}", self.shown);
        assert!(!format!("{:?}", self.oauth).contains("s3cret"));
    }
}
