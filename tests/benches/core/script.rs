//! The input script: a session is initialised, then calls are answered. Every engine, native, WebAssembly or under Node, is
//! driven by it in the same way (`node.mjs` holds the same steps).

/// The bytes of a read from the network: what a body comes in.
pub const CHUNK: usize = 64 << 10;

/// How far apart the inputs are, in nanoseconds of the engine's time.
const STEP: u64 = 1_000;

/// How an answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Json,
    Sse,
}

impl Answer {
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Sse => "SSE",
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Sse => "text/event-stream",
        }
    }
}

/// One step of the script.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    Message(&'a str),
    Sent(u64),
    /// A status, and a content type or nothing.
    Response(u64, u16, &'static str),
    Body(u64, &'a [u8]),
    End(u64),
}

/// What an engine wants, as far as the script looks at it.
#[derive(Debug)]
pub enum Want {
    /// A request, and its body.
    Start(u64, Vec<u8>),
    Message(String),
}

/// An engine in whatever form.
pub trait Engine {
    fn handle(&mut self, now: u64, step: Step<'_>);
    /// What it wants now.
    fn outputs(&mut self) -> Vec<Want>;
    fn deadline(&mut self) -> Option<u64>;
}

/// A message of about `size` bytes: text in lines, with what text has to escape.
pub fn payload(size: usize) -> String {
    const LINE: &str = r#"The quick brown fox says \"hello\" to item 4711 of the list: /usr/share/doc.\n"#;
    LINE.repeat(size / LINE.len())
}

/// The texts of the calls of one size.
pub struct Texts {
    pub call: String,
    /// With a field of [`ID_WIDTH`] spaces at `id_at` for the id.
    pub answer: Vec<u8>,
    pub id_at: usize,
}

/// White space before an id is JSON, so that a field of fixed width holds any.
pub const ID_WIDTH: usize = 12;

impl Texts {
    pub fn new(size: usize, answer: Answer) -> Self {
        let payload = payload(size.saturating_sub(160));
        let call = format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"write","arguments":{{"text":"{payload}"}}}}}}"#
        );
        let (before, after) = match answer {
            Answer::Json => ("", ""),
            Answer::Sse => ("event: message\ndata: ", "\n\n"),
        };
        let head = format!(r#"{before}{{"jsonrpc":"2.0","id":"#);
        let id = " ".repeat(ID_WIDTH);
        let tail = format!(r#","result":{{"content":[{{"type":"text","text":"{payload}"}}]}}}}{after}"#);
        Self { call, id_at: head.len(), answer: format!("{head}{id}{tail}").into_bytes() }
    }
}

/// Drives one engine.
pub struct Driver<E> {
    pub engine: E,
    now: u64,
}

pub const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;
pub const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
pub const INITIALIZE_RESULT: &str = r#","result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"bench","version":"1"}}}"#;

impl<E: Engine> Driver<E> {
    /// With a session that is ready.
    pub fn ready(engine: E) -> Self {
        let mut driver = Self { engine, now: 0 };
        let mut posts = driver.step(Step::Message(INITIALIZE)).0;
        let (exchange, body) = posts.pop().expect("initialize is posted");
        let answer = format!(r#"{{"jsonrpc":"2.0","id":{}{INITIALIZE_RESULT}"#, wire_id(&body));
        let (mut posts, messages) = driver.answer(exchange, Answer::Json, answer.as_bytes());
        assert_eq!(messages.len(), 1, "initialize is answered");
        posts.extend(driver.step(Step::Message(INITIALIZED)).0);
        // `initialized`, and the GET of the standalone stream, which there is none of.
        while let Some((exchange, body)) = posts.pop() {
            let status = if body.is_empty() { 405 } else { 202 };
            posts.extend(driver.step(Step::Response(exchange, status, "")).0);
            posts.extend(driver.step(Step::End(exchange)).0);
        }
        driver
    }

    /// One call: posted, answered, delivered. Gives the bytes delivered.
    pub fn call(&mut self, answer: Answer, texts: &mut Texts) -> usize {
        let (posts, _) = self.step(Step::Message(&texts.call));
        let [(exchange, body)] = posts.as_slice() else { panic!("one POST a call, not {}", posts.len()) };
        let id = format!("{:>ID_WIDTH$}", wire_id(body));
        texts.answer[texts.id_at..texts.id_at + ID_WIDTH].copy_from_slice(id.as_bytes());
        let (_, messages) = self.answer(*exchange, answer, &texts.answer);
        let [message] = messages.as_slice() else { panic!("one answer a call, not {}", messages.len()) };
        message.len()
    }

    fn answer(&mut self, exchange: u64, answer: Answer, body: &[u8]) -> Wants {
        let mut all = self.step(Step::Sent(exchange));
        let mut step = |step| {
            let (posts, messages) = self.step(step);
            all.0.extend(posts);
            all.1.extend(messages);
        };
        step(Step::Response(exchange, 200, answer.content_type()));
        for chunk in body.chunks(CHUNK) {
            step(Step::Body(exchange, chunk));
        }
        step(Step::End(exchange));
        all
    }

    /// The loop of `wit/engine.wit`: an input, all outputs, the deadline.
    fn step(&mut self, step: Step<'_>) -> Wants {
        self.now += STEP;
        self.engine.handle(self.now, step);
        let mut wants = Wants::default();
        for want in self.engine.outputs() {
            match want {
                Want::Start(exchange, body) => wants.0.push((exchange, body)),
                Want::Message(text) => wants.1.push(text),
            }
        }
        std::hint::black_box(self.engine.deadline());
        wants
    }
}

/// Requests with their bodies, and messages for the program.
type Wants = (Vec<(u64, Vec<u8>)>, Vec<String>);

/// The id in a request's body, which the engine puts where the message had its own.
pub fn wire_id(body: &[u8]) -> u64 {
    const BEFORE: &[u8] = br#"{"jsonrpc":"2.0","id":"#;
    assert!(body.starts_with(BEFORE), "the message stays as it was but for its id");
    body[BEFORE.len()..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0, |id, byte| id * 10 + u64::from(byte - b'0'))
}
