//! Options from a configuration file, as arguments before those of the command line and of the environment. The keys are the long
//! options that clap has; `[servers."URL or name"]` is for one server.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, CommandFactory};
use mcp_reconnect_command::variable;
use toml_edit::{Document, Item, TableLike, Value};

use super::variables::{CONNECTING, is_given};
use super::{Cli, shown_url};

/// The largest file, in bytes.
const MAX_BYTES: u64 = 1 << 20;
/// Where the servers are.
const SERVERS: &str = "servers";
/// No file, also where there is one in the usual place.
pub(super) const OFF: &str = "off";
/// What the options that name a command have in the place of their value.
const COMMAND: &str = "COMMAND";
/// How alike two names must be.
const ALIKE: f64 = 0.7;

/// What came from a file.
pub struct FromFile {
    pub path: PathBuf,
    /// The options that were used.
    pub used: Vec<String>,
}

/// The command line with what the file has beside it. `off` are switches that the environment has switched off.
pub fn with_file(
    mut arguments: Vec<OsString>,
    off: &[String],
    lookup: impl Fn(&str) -> Option<OsString>,
) -> Result<(Vec<OsString>, Option<FromFile>), String> {
    // Most have none, and need not wait for the command line to be read twice.
    let is_named = arguments.iter().any(|word| word.to_str().is_some_and(|word| word.starts_with("--config")));
    if !is_named && !usual(&lookup).is_some_and(|path| path.exists()) {
        return Ok((arguments, None));
    }
    let cli = Cli::command();
    let sub = arguments.get(1).and_then(|word| cli.find_subcommand(word)).map(|sub| sub.get_name().to_owned());
    if sub.as_deref().is_some_and(|sub| !CONNECTING.contains(&sub)) {
        return Ok((arguments, None));
    }
    // What is wrong with the command line is said later; help and version need no file.
    let Ok(given) = cli.clone().ignore_errors(true).try_get_matches_from(&arguments) else {
        return Ok((arguments, None));
    };
    let given = given.subcommand().map_or(&given, |(_, given)| given);
    let Some((path, text)) = find(given.try_get_one::<PathBuf>("config").ok().flatten(), &lookup)? else {
        return Ok((arguments, None));
    };
    let command = sub.as_deref().and_then(|sub| cli.find_subcommand(sub)).unwrap_or(&cli);
    let known: Vec<&Arg> = cli.get_arguments().filter(|arg| is_key(arg)).collect();
    let of_this_command: Vec<&Arg> = command.get_arguments().filter(|arg| is_key(arg)).collect();
    let file = Configuration { path: &path, text: &text.text };
    let document = Document::parse(&*text.text).map_err(|error| {
        let problem = error.message().lines().next().unwrap_or_default().to_owned();
        file.problem(error.span().map(|span| span.start), &format!("it is not valid TOML: {problem}"))
    })?;
    let sections = file.sections(document.as_table(), &known, &text.metadata)?;

    let given_text = |id: &str| given.try_get_one::<String>(id).ok().flatten().cloned();
    let url = given.try_get_many::<String>("urls").ok().flatten().and_then(|mut urls| urls.next().cloned());
    let has_url = url.is_some();
    let variable = given_text("url_env").unwrap_or_else(|| variable::URL.to_owned());
    let url = url.or_else(|| lookup(&variable)?.into_string().ok()).map(|url| shown_url(&url)).unwrap_or_default();
    let of = |wanted: &dyn Fn(&str) -> bool| -> Vec<&dyn TableLike> {
        sections.iter().filter(|(key, _)| key.is_some_and(wanted)).map(|(_, table)| *table).collect()
    };
    let by_url = of(&|key| is_url(key) && !url.is_empty() && shown_url(key) == url);
    let named = |table: &&dyn TableLike| table.get("name").and_then(Item::as_str).map(str::to_owned);
    let top: Vec<&dyn TableLike> = vec![document.as_table()];
    let name = given_text("name").or_else(|| by_url.iter().chain(&top).find_map(named));
    let by_name = of(&|key| !is_url(key) && name.as_deref() == Some(key));

    let (mut added, mut used) = (Vec::new(), Vec::new());
    for arg in of_this_command {
        let Some(long) = arg.get_long().filter(|long| known.iter().any(|known| known.get_long() == Some(long))) else {
            continue;
        };
        // The URL of the command line goes before.
        if is_given(&arguments, long, arg.get_short())
            || off.iter().any(|off| off == long)
            || (long == "url-env" && has_url)
        {
            continue;
        }
        let tables = by_name.iter().chain(&by_url).chain(&top);
        let Some((table, item)) = tables.into_iter().find_map(|table| Some((table, table.get(long)?))) else {
            continue;
        };
        let values = values(arg, item).map_err(|mend| file.problem(place(*table, long), &format!("{long}: {mend}")))?;
        if values.is_empty() {
            continue;
        }
        used.push(long.to_owned());
        added.extend(values.into_iter().map(|value| OsString::from(format!("--{long}{value}"))));
    }
    let at = if sub.is_some() { 2 } else { 1 }.min(arguments.len());
    arguments.splice(at..at, added);
    Ok((arguments, Some(FromFile { path, used })))
}

/// The file's text, and whose it is.
struct Contents {
    text: String,
    metadata: Metadata,
}

/// The file that the command line names, or that in the usual place if it is there.
fn find(
    named: Option<&PathBuf>,
    lookup: &impl Fn(&str) -> Option<OsString>,
) -> Result<Option<(PathBuf, Contents)>, String> {
    let path = match named {
        Some(path) if path.as_os_str() == OFF => return Ok(None),
        Some(path) => path.clone(),
        None => match usual(lookup) {
            Some(path) => path,
            None => return Ok(None),
        },
    };
    match read(&path) {
        Ok(read) => Ok(Some((path, read))),
        Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => Ok(None),
        Err(error) => Err(format!("the configuration file {} cannot be read: {error}", path.display())),
    }
}

/// Where a platform keeps such files.
fn usual(lookup: &impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name: &str| lookup(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = if cfg!(windows) {
        absolute("APPDATA")
    } else if cfg!(target_os = "macos") {
        absolute("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")))
    };
    Some(base?.join("mcp-reconnect").join("config.toml"))
}

fn read(path: &Path) -> std::io::Result<Contents> {
    // What is no file, a pipe say, could keep the bridge waiting.
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is no regular file"));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut text = String::new();
    file.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(std::io::Error::other("it is larger than 1 MiB"));
    }
    Ok(Contents { text, metadata })
}

/// Whether an option may stand in the file.
fn is_key(arg: &Arg) -> bool {
    arg.get_long().is_some_and(|long| !["help", "version", "config"].contains(&long))
}

fn is_url(key: &str) -> bool {
    key.contains("://")
}

fn place(table: &dyn TableLike, key: &str) -> Option<usize> {
    table.key(key).and_then(|key| key.span()).map(|span| span.start)
}

/// Tables of options, with the servers that they are for; none: for all.
type Sections<'t> = Vec<(Option<&'t str>, &'t dyn TableLike)>;

struct Configuration<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Configuration<'_> {
    /// What is wrong, and in which line.
    fn problem(&self, at: Option<usize>, what: &str) -> String {
        let line = at.and_then(|at| self.text.get(..at)).map(|before| before.matches('\n').count() + 1);
        let line = line.map_or_else(String::new, |line| format!(", line {line}"));
        format!("{}{line}: {what}", self.path.display())
    }

    /// The tables of options: the file's own, without a name, and those of servers. Each key is looked at, whichever server this is.
    fn sections<'t>(
        &self,
        top: &'t dyn TableLike,
        known: &[&Arg],
        metadata: &Metadata,
    ) -> Result<Sections<'t>, String> {
        let mut all = vec![(None, top)];
        if let Some(servers) = top.get(SERVERS) {
            let servers = servers.as_table_like().ok_or_else(|| {
                self.problem(place(top, SERVERS), "servers is for tables; write [servers.\"https://HOST/PATH\"]")
            })?;
            for (key, item) in servers.iter() {
                let at = place(servers, key);
                let table = item
                    .as_table_like()
                    .ok_or_else(|| self.problem(at, &format!("'{key}' is no table; write [servers.\"{key}\"]")))?;
                if is_url(key) && shown_url(key).is_empty() {
                    return Err(self.problem(at, "the URL of a server is not usable; write https://HOST/PATH"));
                }
                all.push((Some(key), table));
            }
        }
        for (section, table) in &all {
            for (key, _) in table.iter().filter(|(key, _)| section.is_some() || *key != SERVERS) {
                let at = place(*table, key);
                let Some(arg) = known.iter().find(|arg| arg.get_long() == Some(key)) else {
                    return Err(self.problem(at, &format!("there is no option '{key}'{}", nearest(key, known))));
                };
                let is_command = arg.get_value_names().is_some_and(|names| names.iter().any(|name| name == COMMAND));
                if let Some(problem) = is_command.then(|| writable_by_others(metadata)).flatten() {
                    let mend = format!("it has a command to run, {key}, and {problem}");
                    return Err(self.problem(at, &mend));
                }
            }
        }
        Ok(all)
    }
}

/// The values for an option, as they follow its name. An error says what to write.
fn values(arg: &Arg, item: &Item) -> Result<Vec<String>, String> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(format!("={}", text.value())),
        Value::Integer(number) => Some(format!("={}", number.value())),
        Value::Float(number) => Some(format!("={}", number.value())),
        _ => None,
    };
    let value = item.as_value().ok_or("write a value, no table")?;
    match (arg.get_action(), value) {
        (ArgAction::SetTrue, Value::Boolean(on)) => Ok(if *on.value() { vec![String::new()] } else { Vec::new() }),
        (ArgAction::SetTrue, _) => Err("write true or false".into()),
        (ArgAction::Append, Value::Array(all)) => {
            all.iter().map(|value| one(value).ok_or_else(|| "write a list of texts".to_owned())).collect()
        }
        (ArgAction::Append, value) => {
            one(value).map(|value| vec![value]).ok_or("write a text, or a list of texts".into())
        }
        (_, value) => one(value).map(|value| vec![value]).ok_or("write a text or a number".into()),
    }
}

fn nearest(key: &str, known: &[&Arg]) -> String {
    let names = known.iter().filter_map(|arg| arg.get_long());
    let nearest = names
        .map(|name| (strsim::jaro_winkler(key, name), name))
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .filter(|(likeness, _)| *likeness >= ALIKE);
    nearest.map_or_else(String::new, |(_, name)| format!("; did you mean '{name}'?"))
}

/// What is wrong with whose file it is. Whoever can write it has commands run as this user.
#[cfg(unix)]
fn writable_by_others(metadata: &Metadata) -> Option<&'static str> {
    use std::os::unix::fs::MetadataExt;
    if metadata.mode() & 0o022 != 0 {
        return Some("others can write the file; run: chmod go-w FILE");
    }
    let is_own = [0, rustix::process::geteuid().as_raw()].contains(&metadata.uid());
    (!is_own).then_some("the file belongs to another user")
}

/// The profile of a user is the user's alone.
#[cfg(not(unix))]
fn writable_by_others(_metadata: &Metadata) -> Option<&'static str> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with this text.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(text: &str) -> Self {
            let path = std::env::temp_dir().join(format!("mcp-reconnect-config-{}.toml", uuid::Uuid::new_v4()));
            std::fs::write(&path, text).expect("a temporary file");
            #[cfg(unix)]
            {
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                std::fs::set_permissions(&path, mode).expect("a temporary file");
            }
            Self(path)
        }

        fn with(&self, words: &[&str]) -> Result<Vec<String>, String> {
            let config = format!("--config={}", self.0.display());
            let mut all: Vec<OsString> = vec!["mcp-reconnect".into()];
            let words: Vec<OsString> = words.iter().map(Into::into).collect();
            let at = usize::from(words.first().is_some_and(|word| word == "check"));
            all.extend_from_slice(&words[..at]);
            all.push(config.clone().into());
            all.extend_from_slice(&words[at..]);
            let (all, _) = with_file(all, &["trust-annotations".to_owned()], |_| None)?;
            let all = all.into_iter().skip(1).map(|word| word.into_string().expect("a text"));
            Ok(all.filter(|word| *word != config).collect())
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    const FILE: &str = r#"
log = "debug" # for now
hold-timeout = 60
heartbeat-strict = true
trust-annotations = true
header = ["A: 1", "B: 2"]

[servers."https://Jarvis.internal:443/sse"]
hold-timeout = "5m"
heartbeat-strict = false
name = "jarvis"

[servers.jarvis]
proxy = ""

[servers.other]
log = "off"
"#;

    #[test]
    fn the_nearest_section_goes_before() {
        let file = Scratch::new(FILE);
        let sorted = |words: &[&str]| {
            let mut words = file.with(words).unwrap();
            words.sort();
            words
        };
        let everywhere = ["--header=A: 1", "--header=B: 2", "--log=debug"];
        assert_eq!(
            sorted(&["http://h/"]),
            [&everywhere[..2], &["--heartbeat-strict", "--hold-timeout=60", "--log=debug", "http://h/"]].concat()
        );
        assert_eq!(
            sorted(&["https://jarvis.internal/sse?key=1"]),
            [
                &everywhere[..2],
                &["--hold-timeout=5m", "--log=debug", "--name=jarvis", "--proxy=", "https://jarvis.internal/sse?key=1"]
            ]
            .concat()
        );
        assert!(sorted(&["--name", "other", "http://h/"]).contains(&"--log=off".to_owned()));
        // What is given goes before, and a command has its own options only.
        let given = sorted(&["-HC: 3", "--hold-timeout=1s", "http://h/"]);
        assert!(!given.iter().any(|word| word.starts_with("--header=") || word == "--hold-timeout=60"), "{given:?}");
        assert_eq!(sorted(&["check", "http://h/"]), ["--header=A: 1", "--header=B: 2", "check", "http://h/"]);
        assert_eq!(sorted(&["--help"]), ["--help"]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, line, said) in [
            ("\nhold-timout = 1", 2, "there is no option 'hold-timout'; did you mean 'hold-timeout'?"),
            ("[servers.a]\n\nurl = 'x'", 3, "there is no option 'url'"),
            ("servers.a.zzzz = 1", 1, "there is no option 'zzzz'"),
            ("config = 'x'", 1, "there is no option 'config'"),
            ("a = = 1", 1, "it is not valid TOML"),
            ("heartbeat-strict = 'yes'", 1, "write true or false"),
            ("header = [1, true]", 1, "write a list of texts"),
            ("log = ['debug']", 1, "write a text or a number"),
            ("[log]", 1, "write a value, no table"),
            ("servers = 1", 1, "write [servers."),
            ("[servers]\na = 1", 2, "write [servers.\"a\"]"),
            ("[servers.'http://user:x@h/']", 1, "the URL of a server is not usable"),
        ] {
            let error = Scratch::new(text).with(&["http://h/"]).expect_err(text);
            assert!(error.contains(&format!(".toml, line {line}: ")) && error.contains(said), "{text}: {error}");
        }
    }

    /// Every option may stand in it, and no other list says which.
    #[test]
    fn every_option_is_a_key() {
        let mut seen = 0;
        for arg in Cli::command().get_arguments().filter(|arg| is_key(arg)) {
            let long = arg.get_long().expect("it has a key");
            let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
            let (text, expected) = if is_switch { ("true", "") } else { ("'1'", "=1") };
            let words = Scratch::new(&format!("{long} = {text}")).with(&[]).unwrap();
            let words: Vec<_> = words.into_iter().filter(|_| long != "trust-annotations").collect();
            let expected = (long != "trust-annotations").then(|| format!("--{long}{expected}"));
            assert_eq!(words, expected.into_iter().collect::<Vec<_>>());
            seen += 1;
        }
        assert!(seen > 40, "{seen}");
    }

    #[cfg(unix)]
    #[test]
    fn commands_in_a_file_that_others_can_write() {
        use std::os::unix::fs::PermissionsExt;
        for key in ["on-event", "header-command"] {
            let file = Scratch::new(&format!("{key} = 'x'"));
            assert!(file.with(&["http://h/"]).is_ok());
            for mode in [0o620, 0o602] {
                std::fs::set_permissions(&file.0, std::fs::Permissions::from_mode(mode)).unwrap();
                let error = file.with(&["http://h/"]).unwrap_err();
                assert!(error.contains(key) && error.contains("chmod go-w"), "{error}");
            }
        }
        let file = Scratch::new("log = 'off'");
        std::fs::set_permissions(&file.0, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(file.with(&["http://h/"]).is_ok());
    }

    #[test]
    fn files_that_are_not_there() {
        let with = |config: &str, home: &str| {
            let all = ["mcp-reconnect", config, "http://h/"].map(OsString::from).to_vec();
            with_file(all, &[], |name| (name == "HOME" || name == "APPDATA").then(|| home.into()))
        };
        assert!(with("--config=/nowhere/config.toml", "/").is_err_and(|error| error.contains("/nowhere/config.toml")));
        assert!(with("--config=off", "/").is_ok_and(|(_, file)| file.is_none()));
        assert!(with("--log=off", "/nowhere").is_ok_and(|(_, file)| file.is_none()));
    }
}
