//! `mcp-reconnect check URL`: connects, asks, and says what the server can do and how well it takes restarts. It speaks MCP as
//! any client does, over the library; what concerns sessions and streams is asked and judged by
//! `mcp_reconnect_core::diagnosis`. Every session is ended again.

mod certificate;
mod client;
mod progress;
mod report;
mod survey;
mod text;

use std::pin::pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use mcp_reconnect::oauth::{FailureKind, Session};
use mcp_reconnect::{HttpOptions, OpenError, Transport};
use mcp_reconnect_core::diagnosis::Answer;
use mcp_reconnect_core::text::Secrets;
use tracing::level_filters::LevelFilter;

use self::client::{Client, Trouble};
use self::progress::Progress;
use self::report::{Outcome, Report, SignIn};
use self::survey::Survey;
use crate::cli::args::connection::ConnectionArgs;
use crate::cli::oauth::Login;
use crate::cli::{self, duration};

/// A shell's exit code for a process that SIGINT ended.
const INTERRUPTED: u8 = 130;
/// How long the goodbyes may take, after the check and after Ctrl-C.
const GOODBYE: Duration = Duration::from_millis(1500);
const HASTY_GOODBYE: Duration = Duration::from_millis(250);

const AFTER_HELP: &str = "\
Exit codes: 0 all is well, 1 it works with a problem (or mcp-reconnect itself failed), 2 the command line is wrong,
3 the server cannot be reached, 4 it wants other credentials, 5 something answers that is no MCP server,
130 interrupted.";

/// What `check` is asked to do.
#[derive(clap::Args, Debug)]
#[command(override_usage = "mcp-reconnect check [OPTIONS] URL", after_help = AFTER_HELP)]
pub struct CheckArgs {
    /// How to reach the server.
    #[command(flatten)]
    connection: ConnectionArgs,
    /// How long it all may take
    #[arg(long, value_name = "TIME", value_parser = duration::parse, default_value = "20s")]
    timeout: Duration,
    /// Write the result as JSON
    #[arg(long)]
    json: bool,
    /// Show each step on stderr, also where that is no terminal
    #[arg(short, long)]
    verbose: bool,
}

/// Checks a server. The exit code says what was found.
pub fn run(args: CheckArgs) -> anyhow::Result<ExitCode> {
    cli::log::init(LevelFilter::WARN);
    let connection = &args.connection;
    let read = || {
        let url = connection.url()?;
        let (sources, oauth) = (connection.sources(&url)?, connection.oauth(&url)?);
        Ok::<_, String>((connection.http()?, connection.options(&url)?, sources, oauth, url))
    };
    let (http, options, mut sources, oauth, url) = match read() {
        Ok(read) => read,
        Err(problem) => return Ok(cli::wrong_usage(&problem)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        // Polled before anything else: from its first poll on the signal does not end the process by itself.
        let mut interrupt = pin!(tokio::signal::ctrl_c());
        // A check is short: what gives headers is asked once.
        let headers = tokio::select! {
            biased;
            _ = &mut interrupt => return Ok(ExitCode::from(INTERRUPTED)),
            headers = tokio::time::timeout(args.timeout, sources.gather()) => headers,
        };
        let mut headers = match headers {
            Ok(Ok(headers)) => headers,
            Ok(Err(problem)) => return Ok(cli::wrong_usage(&problem)),
            Err(_) => return Ok(cli::wrong_usage("the headers did not come within --timeout")),
        };
        let mut sign_in = None;
        if let Some(session) = oauth.filter(|_| !cli::is_authorized(&headers)) {
            sign_in = tokio::select! {
                biased;
                _ = &mut interrupt => return Ok(ExitCode::from(INTERRUPTED)),
                found = SignIn::look(session, Login::of(connection), args.timeout, &mut headers) => Some(found),
            };
        }
        let options = options.headers(headers.clone());
        let mut secrets = Secrets::default();
        secrets.learn_query(&url);
        headers.iter().for_each(|(_, value)| secrets.learn_header(value));
        let progress = Progress::new(args.verbose);
        let mut check = match Check::new(&url, headers, http, options, args.timeout, progress).await {
            Ok(check) => check,
            Err(error) => return cli::refused(error),
        };
        check.report.sign_in = sign_in;
        let interrupted = tokio::select! {
            biased;
            _ = &mut interrupt => true,
            () = check.run() => false,
        };
        if interrupted {
            // The server is told, if it listens; nobody is kept waiting for that.
            check.close(HASTY_GOODBYE).await;
            return Ok(ExitCode::from(INTERRUPTED));
        }
        let report = check.finish().await;
        let text = if args.json { report.json() } else { text::of(&report) };
        print(&secrets.blank(text));
        Ok(ExitCode::from(report.outcome().exit_code()))
    });
    // A name lookup or a TLS handshake may still be under way on another thread; nothing is owed to it.
    runtime.shutdown_background();
    ended
}

/// Writes the result; a closed stdout is nobody's loss.
fn print(text: &str) {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// A check under way.
struct Check {
    url: String,
    headers: Vec<(String, String)>,
    http: HttpOptions,
    limit: Duration,
    begun: Instant,
    progress: Progress,
    client: Option<Client>,
    survey: Option<Survey>,
    report: Report,
}

impl Check {
    async fn new(
        url: &str,
        headers: Vec<(String, String)>,
        http: HttpOptions,
        options: mcp_reconnect::Options,
        limit: Duration,
        progress: Progress,
    ) -> Result<Self, OpenError> {
        let client = Client::open(options, limit).await?;
        Ok(Self {
            url: url.to_owned(),
            headers,
            http,
            limit,
            begun: Instant::now(),
            progress,
            client: Some(client),
            survey: None,
            report: Report::new(url),
        })
    }

    /// Asks everything, as far as the time goes.
    async fn run(&mut self) {
        let limit = self.limit;
        if tokio::time::timeout(limit, self.ask()).await.is_err() {
            let step = self.progress.current();
            self.report.out_of_time(step, limit);
        }
    }

    async fn ask(&mut self) {
        let Some(client) = &mut self.client else { return };
        self.progress.step("connect");
        let session = match client.initialize(&mut self.report).await {
            Ok(()) => client.session(),
            Err(trouble) => return self.look_into(trouble).await,
        };
        let Some((transport, version)) = session else { return };
        self.progress.step("list what it offers");
        client.lists(&mut self.report).await;
        self.progress.step("look at TLS");
        certificate::look(&self.http, &self.url, self.limit, &mut self.report).await;
        self.survey(transport, &version).await;
        if let Some(client) = &mut self.client {
            client.losses(&mut self.report);
        }
    }

    /// Opens a second session, and asks in it.
    async fn survey(&mut self, transport: Transport, version: &str) {
        self.progress.step("open a second session");
        match Survey::new(&self.http, &self.url, self.headers.clone(), transport, version) {
            Ok(survey) => self.survey.insert(survey).run(&mut self.report, &mut self.progress).await,
            Err(problem) => self.report.problem(format!("the server's sessions could not be looked at: {problem}")),
        }
    }

    /// There is no session: why, and what else can be seen.
    async fn look_into(&mut self, trouble: Trouble) {
        match &trouble {
            // Single requests show what became of it.
            Trouble::Incomplete(_) => {
                if let Some(client) = self.client.take() {
                    let _ = tokio::time::timeout(GOODBYE, client.close()).await;
                }
                let version = self.report.protocol_version.clone().unwrap_or_default();
                self.report.failed(trouble);
                self.survey(Transport::StreamableHttp, &version).await;
            }
            Trouble::Unreachable(_) | Trouble::NotMcp(_) => {
                self.progress.step("look at its answer");
                let survey = Survey::new(&self.http, &self.url, self.headers.clone(), Transport::StreamableHttp, "");
                let answer = match survey {
                    Ok(survey) => self.survey.insert(survey).first_answer().await,
                    Err(_) => None,
                };
                // Of a server that refuses by status and error.
                match answer.as_ref().filter(|answer| answer.is_error()) {
                    Some(answer) => self.report.failed(Trouble::Refused(answer.describe())),
                    None => self.report.failed(trouble),
                }
                if let Some(answer) = answer.filter(Answer::lacks_retry_after) {
                    self.report.problem(format!(
                        "it does not say when to come back: have it, or the proxy before it, send Retry-After with \
                         HTTP {}, so that requests are held for that time and none has an unknown outcome",
                        answer.status()
                    ));
                }
            }
            Trouble::Unauthorized { .. } | Trouble::Refused(_) => self.report.failed(trouble),
        }
    }

    /// Ends the sessions, and gives the result.
    async fn finish(mut self) -> Report {
        self.progress.step("end the sessions");
        self.close(GOODBYE).await;
        self.report.seconds = self.begun.elapsed().as_secs_f64();
        self.report
    }

    async fn close(&mut self, limit: Duration) {
        let (client, survey, report) = (self.client.take(), self.survey.take(), &mut self.report);
        let goodbyes = async {
            tokio::join!(
                async {
                    if let Some(mut survey) = survey {
                        survey.close(report).await;
                    }
                },
                async {
                    if let Some(client) = client {
                        client.close().await;
                    }
                }
            )
        };
        if tokio::time::timeout(limit, goodbyes).await.is_err() {
            self.report.problem(format!("the end of a session was not answered within {} s", limit.as_secs_f32()));
        }
    }
}

impl SignIn {
    /// Looks up what is stored for this server, refreshes it where that is due, and adds the token to the headers.
    async fn look(mut session: Session, login: Login, limit: Duration, headers: &mut Vec<(String, String)>) -> Self {
        let mut problem = None;
        match tokio::time::timeout(limit, session.acquire(None)).await {
            Ok(Ok(token)) => headers.push(("Authorization".into(), format!("Bearer {}", token.access.0))),
            Ok(Err(failure)) if failure.kind == FailureKind::NoToken => {}
            Ok(Err(failure)) => problem = Some(failure.text),
            Err(_) => problem = Some("the authorization server did not answer within --timeout".into()),
        }
        let stored = session.describe().unwrap_or_else(|why| {
            problem.get_or_insert(why.to_string());
            None
        });
        Self::of(&stored.unwrap_or_default(), problem, login.command().to_owned())
    }
}

impl Report {
    /// Nothing could be asked.
    fn failed(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::Unreachable(reason) => self.fail(Outcome::Unreachable, reason),
            Trouble::Unauthorized { status, challenge } => {
                self.credentials = Some(report::Credentials { status, challenge });
                self.fail(Outcome::Unauthorized, format!("the server wants other credentials (HTTP {status})"));
            }
            Trouble::Refused(words) => self.fail(
                Outcome::Broken,
                format!("the server answers initialize with an error: {words}. These are its own words; its log may say more"),
            ),
            Trouble::Incomplete(reason) => self.fail(
                Outcome::Broken,
                format!("the server answers initialize, and what follows fails: {reason}"),
            ),
            Trouble::NotMcp(reason) => self.fail(Outcome::NotMcp, reason),
        }
    }
}
