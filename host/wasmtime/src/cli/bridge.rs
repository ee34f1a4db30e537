//! stdin and stdout on one side, the transport on the other.

use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use futures::FutureExt;
use mcp_reconnect::{Event, Receiver, Sender};
use tokio::time::{Instant, timeout_at};

use super::event_log;
use super::input::Lines;
use super::lines::Line;
use super::listeners::Listeners;
use super::log;
use super::output::Output;
use super::running::Activity;
use super::signals::{SignalRequest, Signals};
use super::sleep::SleepWatch;

/// Bytes of messages that are written together.
const TOGETHER: usize = 8 << 10;

/// The end takes no longer than this, whatever the server and the client do. The transport's own goodbye is shorter.
const GOODBYE: Duration = Duration::from_millis(900);
/// Hooks that have not run by then are not run.
const LAST_HOOKS: Duration = Duration::from_millis(400);

/// A shell's exit code for a process that SIGINT ended: a second signal does not wait for the goodbye.
const INTERRUPTED: u8 = 130;

/// What ends a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client closed stdin.
    Stdin,
    /// The client closed stdout.
    Stdout,
    /// A signal asked for it.
    Signal,
}

/// Bridges until the client closes stdin or stdout, or a signal asks to end.
pub async fn run(
    sender: Sender,
    receiver: Receiver,
    listeners: Listeners,
    max_message_bytes: usize,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new()?;
    let lines = Lines::stdin(max_message_bytes)?;
    let (output, mut written) = Output::stdout()?;

    let activity = listeners.activity();
    let mut to_server = Box::pin(to_server(lines, &sender, output.clone(), activity, max_message_bytes));
    let mut to_client = pin!(to_client(receiver, output, listeners));
    let mut sleep = SleepWatch::new();

    let end = loop {
        tokio::select! {
            () = &mut to_server => break End::Stdin,
            // It has said why.
            _ = &mut to_client => return Ok(ExitCode::FAILURE),
            _ = &mut written => break End::Stdout,
            slept = sleep.woke() => {
                tracing::info!("the machine slept for {} s: checking the connection", slept.as_secs());
                let _ = sender.probe().await;
            }
            request = signals.next() => match request {
                SignalRequest::End => break End::Signal,
                // These fail only where the transport failed, which ends the loop.
                SignalRequest::Reconnect => drop(sender.reconnect().await),
                SignalRequest::Status => if let Ok(status) = sender.status().await {
                    log::line(&event_log::status(&status));
                },
            },
        }
    };
    tracing::debug!("ending: {end:?}");
    // It may still hold stdout open, where a signal was the cause.
    drop(to_server);
    let now = Instant::now();
    let goodbye = async {
        sender.close().await;
        let listeners = to_client.await;
        listeners.finish(now + LAST_HOOKS).await;
        if end != End::Stdout {
            let _ = written.await;
        }
    };
    Ok(tokio::select! {
        _ = timeout_at(now + GOODBYE, goodbye) => ExitCode::SUCCESS,
        () = second_end(&mut signals, end) => ExitCode::from(INTERRUPTED),
    })
}

/// Passes the client's messages on, until there are no more.
async fn to_server(mut lines: Lines, sender: &Sender, output: Output, activity: Activity, limit: usize) {
    while let Some(batch) = lines.next().await {
        activity.happened();
        for line in batch {
            let taken = match line {
                Line::Text(message) => sender.send(message).await.is_ok(),
                Line::TooLong(scanned) => {
                    tracing::warn!("a message of {} bytes from the client is over --max-message-bytes", scanned.bytes);
                    match mcp_reconnect_core::oversized_message(&scanned, limit) {
                        Some(answer) => output.send(answer).await.is_ok(),
                        None => true,
                    }
                }
            };
            if !taken {
                return;
            }
        }
    }
}

/// Passes the transport's messages on and tells its events, until there are no more. Short messages that are there together
/// are written together.
async fn to_client(mut receiver: Receiver, output: Output, mut listeners: Listeners) -> Listeners {
    let mut lines = String::new();
    let activity = listeners.activity();
    while let Some(first) = receiver.receive().await {
        activity.happened();
        let mut next = Some(first);
        while let Some(event) = next {
            match event {
                // A closed stdout ends the bridge by itself; until then the events go on.
                Event::Message(message) if lines.len() + message.len() > TOGETHER => {
                    if !lines.is_empty() {
                        let _ = output.send(std::mem::take(&mut lines)).await;
                    }
                    let _ = output.send(message).await;
                }
                Event::Message(message) if lines.is_empty() => lines = message,
                Event::Message(message) => {
                    lines.push('\n');
                    lines.push_str(&message);
                }
                event => listeners.tell(&event),
            }
            next = receiver.receive().now_or_never().flatten();
        }
        if !lines.is_empty() {
            let _ = output.send(std::mem::take(&mut lines)).await;
        }
    }
    listeners
}

/// The signal that ends the goodbye: the second, also after the end of stdin, which a client's SIGTERM often follows.
async fn second_end(signals: &mut Signals, end: End) {
    let mut seen = u32::from(end == End::Signal);
    while seen < 2 {
        seen += u32::from(signals.next().await == SignalRequest::End);
    }
}
