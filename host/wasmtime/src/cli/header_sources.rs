//! Where the headers come from: `--header`, `--header-file` and `--header-command`, of which a later one replaces headers of
//! the same name. The file and the command are asked again and again; what they gave last stays when they fail.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::JoinHandle;
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
    file: Option<Source<HeaderFile>>,
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
        let file = file.map(|path| Source { place: HeaderFile { path, pending: None }, last: Vec::new() });
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
            file.last = file.place.read(self.timeout).await?;
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
            match file.place.read(self.timeout).await {
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

/// The file of `--header-file`, which may be a pipe.
struct HeaderFile {
    path: PathBuf,
    /// A file system of the network may not answer: so long no other thread waits for it too.
    pending: Option<JoinHandle<Result<Opened, String>>>,
}

/// What is behind a path.
enum Opened {
    Text(Vec<u8>),
    /// A named pipe, or `<(command)` of a shell: whoever writes to it may take time, or never come.
    #[cfg(unix)]
    Pipe(File),
}

impl HeaderFile {
    async fn read(&mut self, limit: Duration) -> Result<Vec<Header>, String> {
        let text = match timeout(limit, self.read_text()).await {
            Ok(text) => text,
            Err(_) => Err(format!("was not read within {limit:?}")),
        };
        let parsed = text.and_then(|text| {
            header::parse_all(&text, |value| expand(value, environment::lookup))
                .map_err(|problem| format!("is not usable: {problem}"))
        });
        parsed.map_err(|problem| format!("--header-file {} {problem}", self.path.display()))
    }

    async fn read_text(&mut self) -> Result<String, String> {
        let path = &self.path;
        let pending = self.pending.get_or_insert_with(|| {
            let path = path.clone();
            tokio::task::spawn_blocking(move || open(&path).map_err(|error| format!("cannot be read: {error}")))
        });
        let opened = pending.await;
        self.pending = None;
        let bytes = match opened.map_err(|_| "cannot be read".to_owned())?? {
            Opened::Text(bytes) => bytes,
            #[cfg(unix)]
            Opened::Pipe(pipe) => drain(pipe).await.map_err(|error| format!("cannot be read: {error}"))?,
        };
        if bytes.len() > MAX_BYTES {
            return Err(format!("is over {MAX_BYTES} bytes"));
        }
        String::from_utf8(bytes).map_err(|_| "is not UTF-8".into())
    }
}

/// Opens a file, and reads it unless it is a pipe.
fn open(path: &Path) -> std::io::Result<Opened> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    let file = options.open(path)?;
    #[cfg(unix)]
    if std::os::unix::fs::FileTypeExt::is_fifo(&file.metadata()?.file_type()) {
        return Ok(Opened::Pipe(file));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(Opened::Text(bytes))
}

/// Reads what is written to a pipe up to the end, without a thread that waits for it.
#[cfg(unix)]
async fn drain(pipe: File) -> std::io::Result<Vec<u8>> {
    use tokio::io::AsyncReadExt;
    /// A pipe to which nobody writes yet looks like one that has ended, and nothing tells of the change.
    const LOOK: Duration = Duration::from_millis(20);
    let mut pipe = tokio::net::unix::pipe::Receiver::from_file(pipe)?;
    let mut bytes = Vec::new();
    loop {
        (&mut pipe).take((MAX_BYTES + 1 - bytes.len()) as u64).read_to_end(&mut bytes).await?;
        if !bytes.is_empty() {
            return Ok(bytes);
        }
        tokio::time::sleep(LOOK).await;
    }
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
