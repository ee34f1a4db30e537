//! The command line: that of the native command, with its words.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use mcp_reconnect_command::event_log::Level;
use mcp_reconnect_command::expand::VarError;
use mcp_reconnect_command::header::{self, Header};
use mcp_reconnect_command::{duration, hint, size, variable};
use mcp_reconnect_core::url::Url;

use crate::bindings::mcp_reconnect::transport::types::{Options, TransportChoice};
use crate::bindings::wasi::cli::environment::{get_arguments, get_environment};
use crate::option::{self, Spec};

/// What the command line asks for.
pub enum Command {
    /// To print this.
    Print(String),
    /// To bridge.
    Bridge(Bridge),
}

/// What the bridge is to do.
pub struct Bridge {
    /// The transport's options.
    pub options: Options,
    /// What stderr is to show; none: nothing.
    pub log: Option<Level>,
    /// Whether each line of it is a JSON object.
    pub json: bool,
    /// The largest message from the client.
    pub max_message_bytes: usize,
    /// The options to look at when the credentials are not the right ones.
    pub credentials: String,
}

/// What was given: option by option, and the words beside them.
#[derive(Default)]
struct Given {
    options: Vec<(&'static Spec, String)>,
    /// The names of those that come from the environment.
    variables: Vec<&'static str>,
    words: Vec<String>,
}

/// Reads the command line. An error says what is wrong and how to mend it, on one line and without a secret.
pub fn read() -> Result<Command, String> {
    let mut given = Given::default();
    let mut arguments = get_arguments().into_iter().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            given.words.extend(arguments);
            break;
        }
        let (spec, inline) = if let Some(long) = argument.strip_prefix("--") {
            match long.split_once('=') {
                Some((name, value)) => (Spec::find(name)?, Some(value.to_string())),
                None => (Spec::find(long)?, None),
            }
        } else if let Some(short) = argument.strip_prefix('-').and_then(|short| short.chars().next()) {
            let value = &argument[1 + short.len_utf8()..];
            // As in -H='Name: value'.
            let value = value.strip_prefix('=').unwrap_or(value);
            (Spec::find_short(short)?, (!value.is_empty()).then(|| value.to_string()))
        } else {
            given.words.push(argument);
            continue;
        };
        match spec.name {
            "help" => return Ok(Command::Print(option::help())),
            "version" => return Ok(Command::Print(concat!("mcp-reconnect ", env!("CARGO_PKG_VERSION")).to_string())),
            _ => {}
        }
        let value = value_of(spec, inline, &mut arguments)?;
        if !spec.many && given.get(spec.name).is_some() {
            return Err(format!("the argument '{}' cannot be used multiple times", spec.usage()));
        }
        given.options.push((spec, value));
    }
    given.add_variables()?;
    given.bridge().map(Command::Bridge)
}

/// The value of an option; empty for a switch.
fn value_of(
    spec: &Spec,
    inline: Option<String>,
    arguments: &mut impl Iterator<Item = String>,
) -> Result<String, String> {
    if spec.value.is_none() {
        return match inline {
            Some(value) => {
                Err(format!("unexpected value '{value}' for '--{}' found; no more were expected", spec.name))
            }
            None => Ok(String::new()),
        };
    }
    let choices = match spec.choices {
        [] => String::new(),
        choices => format!(" [possible values: {}]", choices.join(", ")),
    };
    let value = match inline {
        Some(value) => Some(value),
        None => match arguments.next() {
            Some(next) if next.len() > 1 && next.starts_with('-') => {
                let name = next.split('=').next().unwrap_or_default();
                return Err(format!("unexpected argument '{name}' found"));
            }
            next => next,
        },
    };
    match value {
        Some(value) if spec.choices.is_empty() || spec.takes(&value) => Ok(value),
        Some(value) if !value.is_empty() => Err(format!("invalid value '{value}' for '{}'{choices}", spec.usage())),
        _ => Err(format!("a value is required for '{}' but none was supplied{choices}", spec.usage())),
    }
}

impl Given {
    /// Adds what the environment has and the command line has not. Options that a component cannot have are refused there too.
    fn add_variables(&mut self) -> Result<(), String> {
        for (name, text) in get_environment() {
            let Some(option) = option::all_names().find(|option| variable::name(option) == name) else { continue };
            if text.is_empty() || ["help", "version"].contains(&option) || self.get(option).is_some() {
                continue;
            }
            let wrong = |problem: String| format!("{name}: {problem}");
            let spec = Spec::find(option).map_err(wrong)?;
            self.variables.push(option);
            let values: Vec<&str> = match spec.value {
                None if variable::switch(&text).map_err(|mend| wrong(mend.to_string()))? => alloc::vec![""],
                None => Vec::new(),
                Some(_) if spec.many => variable::lines(&text).collect(),
                Some(_) => alloc::vec![&*text],
            };
            for value in values {
                let inline = spec.value.map(|_| value.to_string());
                let value = value_of(spec, inline, &mut core::iter::empty()).map_err(wrong)?;
                self.options.push((spec, value));
            }
        }
        Ok(())
    }

    fn bridge(&self) -> Result<Bridge, String> {
        let variables = get_environment();
        let lookup = |name: &str| {
            let found = variables.iter().find(|(variable, _)| variable == name);
            found.map(|(_, value)| value.clone()).ok_or(VarError::NotPresent)
        };
        let options = Options::new(&self.url(lookup)?);
        let headers = self.headers(lookup)?;
        options.set_headers(&headers);
        options.set_transport(match self.get("transport") {
            Some("http") => TransportChoice::StreamableHttp,
            Some("sse") => TransportChoice::HttpSse,
            _ => TransportChoice::Auto,
        });
        options.set_heartbeat_strict(self.get("heartbeat-strict").is_some());
        options.set_notify_client(self.get("notify-client").is_some());
        options.set_discover_first(self.get("discover-first").is_some());
        options.set_trust_annotations(self.get("trust-annotations").is_some());
        let off = |duration: Option<Duration>| duration.unwrap_or_default();
        let maybe = |text: &str| duration::parse_or_off(text).map(off);
        self.set("heartbeat", maybe, |interval| options.set_heartbeat_interval(nanos(interval)))?;
        self.set("heartbeat-timeout", duration::parse, |timeout| options.set_heartbeat_timeout(nanos(timeout)))?;
        self.set("listen-check", maybe, |interval| options.set_listen_check_interval(nanos(interval)))?;
        self.set("request-timeout", duration::parse, |timeout| options.set_run_timeout(nanos(timeout)))?;
        self.set("old-session-timeout", maybe, |timeout| options.set_old_session_timeout(nanos(timeout)))?;
        self.set("hold-timeout", duration::parse, |timeout| options.set_hold_timeout(nanos(timeout)))?;
        self.set("start-timeout", maybe, |timeout| options.set_start_timeout(nanos(timeout)))?;
        self.set("max-event-bytes", size::parse, |bytes| options.set_max_event_bytes(bytes as u64))?;
        self.set("max-body-bytes", size::parse, |bytes| options.set_max_body_bytes(bytes as u64))?;
        self.set("max-total-body-bytes", size::parse, |bytes| options.set_max_total_body_bytes(bytes as u64))?;
        let mut max_message_bytes = mcp_reconnect_core::Options::new("").max_message_bytes;
        self.set("max-message-bytes", size::parse, |bytes| max_message_bytes = bytes)?;
        options.set_max_message_bytes(max_message_bytes as u64);
        let words = || self.get("log").unwrap_or_default().split(',');
        let log = match words().filter(|word| *word != "json").last() {
            Some("off") => None,
            Some("error") => Some(Level::Error),
            Some("warn") => Some(Level::Warn),
            // There is nothing finer than debug to be told here.
            Some("debug" | "trace") => Some(Level::Debug),
            _ => Some(Level::Info),
        };
        let credentials = match (self.get("header"), self.get("header-env")) {
            (Some(_), Some(_)) => "--header and --header-env",
            (None, Some(_)) => "--header-env",
            _ => "--header",
        };
        Ok(Bridge {
            options,
            log,
            json: words().any(|word| word == "json"),
            max_message_bytes,
            credentials: credentials.to_string(),
        })
    }

    /// The value of an option.
    fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of an option.
    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.options.iter().filter(move |(spec, _)| spec.name == name).map(|(_, value)| &**value)
    }

    /// Reads an option's value, if it was given, and does something with it.
    fn set<T>(
        &self,
        name: &str,
        read: impl Fn(&str) -> Result<T, String>,
        use_it: impl FnOnce(T),
    ) -> Result<(), String> {
        let Some((spec, text)) = self.options.iter().find(|(spec, _)| spec.name == name) else { return Ok(()) };
        let source = match self.variables.contains(&spec.name) {
            true => format!("{}: ", variable::name(spec.name)),
            false => String::new(),
        };
        let value = read(text)
            .map_err(|problem| format!("{source}invalid value '{text}' for '{}': {problem}", spec.usage()))?;
        use_it(value);
        Ok(())
    }

    /// The server's URL.
    fn url(&self, lookup: impl Fn(&str) -> Result<String, VarError>) -> Result<String, String> {
        match (&self.words[..], self.get("url-env")) {
            ([word, ..], _) if option::native_command(word).is_some() => {
                Err(option::native_command(word).unwrap_or_default())
            }
            ([url], None) => match hint::missing_scheme(url) {
                Some(problem) => Err(problem),
                None => Ok(url.clone()),
            },
            ([], Some(name)) => lookup(name).map_err(|_| {
                format!(
                    "--url-env needs the environment variable {name}, which is not set or not passed on by the runtime"
                )
            }),
            ([], None) => match lookup(variable::URL) {
                Ok(url) if !url.is_empty() => Ok(url),
                _ => Err("the server's URL is missing; write mcp-reconnect https://HOST/PATH".to_string()),
            },
            ([_], Some(_)) => Err("there are two URLs, one of them from --url-env; give one".to_string()),
            // A word that is no URL is perhaps a token.
            ([_, second, ..], _) => Err(match shown(second) {
                Some(url) => format!("'{url}' is one URL too many; give each server a bridge of its own"),
                None => "there are more words than one URL; is a --header without quotes? write --header 'Name: value'"
                    .to_string(),
            }),
        }
    }

    fn headers(&self, lookup: impl Fn(&str) -> Result<String, VarError> + Copy) -> Result<Vec<Header>, String> {
        let given = self.all("header").map(|text| header::parse(text, lookup));
        given.chain(self.all("header-env").map(|text| header::from_environment(text, lookup))).collect()
    }
}

/// A URL without what may be secret in it: the query. None where it is not one.
fn shown(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let path = url.path_and_query().split('?').next().unwrap_or_default();
    Some(format!("{}://{}{path}", if url.https() { "https" } else { "http" }, url.authority()))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
