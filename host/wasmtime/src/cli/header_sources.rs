//! Where the headers come from: `--header`, `--header-file` and `--header-command`, of which a later one replaces headers of
//! the same name. The file and the command are asked again and again; what they gave last stays when they fail.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;

use super::child::{self, Job};
use super::environment;
use super::expand::expand;
use super::header::{self, Header};

/// The most that a file may hold, or a command print, in bytes.
const MAX_BYTES: usize = 64 << 10;

/// All headers, and how to get fresh ones.
pub struct HeaderSources {
    fixed: Vec<Header>,
    file: Option<Source<PathBuf>>,
    command: Option<Source<String>>,
    /// For the command; without secrets.
    server_url: String,
    timeout: Duration,
}

/// One that can give others each time.
struct Source<T> {
    place: T,
    last: Vec<Header>,
}

impl HeaderSources {
    /// The headers that stay, and where to get others. A file is to be read with [`HeaderSources::open`].
    pub fn new(
        fixed: Vec<Header>,
        file: Option<PathBuf>,
        command: Option<String>,
        server_url: String,
        timeout: Duration,
    ) -> Self {
        let file = file.map(|place| Source { place, last: Vec::new() });
        let command = command.map(|place| Source { place, last: Vec::new() });
        Self { fixed, file, command, server_url, timeout }
    }

    /// How long [`HeaderSources::refresh`] may take; `None`: nothing is to be refreshed.
    pub fn patience(&self) -> Option<Duration> {
        let sources = u32::from(self.file.is_some()) + u32::from(self.command.is_some());
        (sources > 0).then(|| self.timeout * sources)
    }

    /// The options to look at when the headers are not the right ones.
    pub fn names(&self) -> String {
        let given = [
            (!self.fixed.is_empty(), "--header"),
            (self.file.is_some(), "--header-file"),
            (self.command.is_some(), "--header-command"),
        ];
        let names: Vec<_> = given.into_iter().filter_map(|(given, name)| given.then_some(name)).collect();
        if names.is_empty() { "--header".into() } else { names.join(" and ") }
    }

    /// Reads the file for the first time. An error says what is wrong, on one line and without a value.
    pub async fn open(&mut self) -> Result<(), String> {
        if let Some(file) = &mut self.file {
            file.last = read(file.place.clone(), self.timeout).await?;
        }
        Ok(())
    }

    /// All headers, for a program that connects once. An error says what is wrong, on one line and without a value.
    pub async fn gather(&mut self) -> Result<Vec<Header>, String> {
        self.open().await?;
        self.run_command(None).await;
        Ok(self.headers())
    }

    /// The headers as they are known now.
    pub fn headers(&self) -> Vec<Header> {
        let mut all = self.fixed.clone();
        let changing = [self.file.as_ref().map(|file| &file.last), self.command.as_ref().map(|command| &command.last)];
        for headers in changing.into_iter().flatten() {
            all.retain(|(name, _)| !headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)));
            all.extend_from_slice(headers);
        }
        all
    }

    /// Reads the file and runs the command. `status` is the HTTP status of the rejection that made it necessary. What fails
    /// is told on stderr and leaves what there was.
    pub async fn refresh(&mut self, status: Option<u16>) {
        if let Some(file) = &mut self.file {
            match read(file.place.clone(), self.timeout).await {
                Ok(headers) => file.last = headers,
                Err(problem) => tracing::warn!("{problem}; its old headers are kept"),
            }
        }
        self.run_command(status).await;
    }

    async fn run_command(&mut self, status: Option<u16>) {
        if let Some(command) = &mut self.command {
            match run(&command.place, &self.server_url, status, self.timeout).await {
                Ok(headers) => command.last = headers,
                Err(problem) => {
                    let rest =
                        if command.last.is_empty() { "it has given none yet" } else { "its old headers are kept" };
                    tracing::warn!("--header-command {problem}; {rest}");
                }
            }
        }
    }
}

async fn read(path: PathBuf, limit: Duration) -> Result<Vec<Header>, String> {
    let shown = format!("--header-file {}", path.display());
    // A pipe or a file system of the network may not answer.
    let text = timeout(limit, tokio::task::spawn_blocking(move || read_text(&path)));
    let text = match text.await {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => Err("cannot be read".into()),
        Err(_) => Err(format!("was not read within {limit:?}")),
    };
    let parsed = text.and_then(|text| {
        header::parse_all(&text, |value| expand(value, environment::lookup))
            .map_err(|problem| format!("is not usable: {problem}"))
    });
    parsed.map_err(|problem| format!("{shown} {problem}"))
}

fn read_text(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() > MAX_BYTES {
        return Err(format!("is over {MAX_BYTES} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8".into())
}

/// Runs the command; an error may hold what it wrote on stderr, and nothing of what it printed.
async fn run(command: &str, server_url: &str, status: Option<u16>, limit: Duration) -> Result<Vec<Header>, String> {
    let mut environment = vec![("MCP_RECONNECT_SERVER_URL", server_url.to_owned())];
    if let Some(status) = status {
        environment.push(("MCP_RECONNECT_STATUS", status.to_string()));
    }
    let job = Job { command, environment: &environment, input: b"", max_output: Some(MAX_BYTES), limit };
    let finished = job.run().await.map_err(|failure| failure.to_string())?;
    if !finished.status.success() {
        let said = child::excerpt(&finished.stderr);
        let said = if said.is_empty() { said } else { format!(": {said}") };
        return Err(format!("failed ({}){said}", finished.status));
    }
    let text = String::from_utf8(finished.stdout).map_err(|_| "printed what is not UTF-8")?;
    header::parse_all(&text, |value| Ok(value.to_owned())).map_err(|problem| format!("printed no headers: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, value: &str) -> Header {
        (name.into(), value.into())
    }

    #[test]
    fn a_later_source_replaces_headers_of_the_same_name() {
        let fixed = vec![header("A", "fixed"), header("Authorization", "fixed"), header("B", "fixed")];
        let file = Some(PathBuf::from("unread"));
        let mut sources =
            HeaderSources::new(fixed, file, Some("none".into()), "http://h/".into(), Duration::from_secs(1));
        sources.file.as_mut().unwrap().last = vec![header("authorization", "file"), header("b", "file")];
        sources.command.as_mut().unwrap().last = vec![header("AUTHORIZATION", "command")];
        let all = [header("A", "fixed"), header("b", "file"), header("AUTHORIZATION", "command")];
        assert_eq!(sources.headers(), all);
    }
}
