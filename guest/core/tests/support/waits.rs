//! Promise 6, for one moment: whoever waits is waited for, and no longer than an option allows. The simulation, the model
//! checker and the fuzz target all ask this after every input.

use mcp_reconnect_core::{Engine, Instant, Options, SECOND, State, Status};
use std::time::Duration;

/// The longest `Retry-After` that is obeyed.
const LONGEST_REST: Duration = Duration::from_secs(300);
/// Waits of the engine that no option sets: the `endpoint` event, the pause after a rejection.
const OWN_WAIT: Duration = Duration::from_secs(10);
/// So long a cancelled request is remembered.
const CANCELLED: Duration = Duration::from_secs(60);

/// What is wrong with the engine's deadline, if anything. `initialized`: its client has said so, and until then nothing but a
/// ping may be sent; `rest_until`: a server has asked for rest until then.
pub fn problem(
    engine: &Engine,
    options: &Options,
    now: Instant,
    initialized: bool,
    rest_until: Instant,
) -> Option<String> {
    let status = engine.status();
    let works = status.queued > 0 || status.in_flight > 0 || !matches!(status.state, State::Ready | State::Idle);
    // Where nothing is open in a version without sessions there is nothing to keep alive.
    let has_session = status.session.as_ref().is_some_and(|session| session.protocol_version.as_str() < "2026-07-28");
    let beats = initialized && !options.heartbeat_interval.is_zero() && has_session && status.state == State::Ready;
    let rest = (rest_until - now).min(LONGEST_REST);
    let rested = if rest_until > Instant::ZERO { LONGEST_REST } else { Duration::ZERO };
    let (longest, what) = longest_wait(options, &status, beats, rest, rested);
    let problem = match engine.deadline() {
        None if works || beats => String::from("nothing is waited for"),
        Some(at) if at > now + longest => {
            format!("the next deadline is {} ms away, {what} allows {}", (at - now).as_millis(), longest.as_millis())
        }
        _ => return None,
    };
    Some(format!(
        "{problem}: {:?}, session {}, {} queued, {} in flight",
        status.state,
        status.session.map_or(0, |session| session.epoch),
        status.queued,
        status.in_flight
    ))
}

/// The longest wait that an option allows in this state, and the options that do.
fn longest_wait(
    options: &Options,
    status: &Status,
    beats: bool,
    rest: Duration,
    rested: Duration,
) -> (Duration, &'static str) {
    match status.state {
        State::Ready | State::Idle if beats => {
            (options.heartbeat_interval.max(options.heartbeat_timeout), "the heartbeat")
        }
        State::Ready | State::Idle => (
            // The hold clock stands still while a server asks for rest.
            options.run_timeout.max(options.hold_timeout + rested).max(options.heartbeat_timeout).max(CANCELLED),
            "run-timeout or hold-timeout",
        ),
        State::Connecting => (
            options.response_timeout.max(options.connect_headers_timeout).max(options.heartbeat_timeout).max(OWN_WAIT),
            "response-timeout, heartbeat-timeout or connect-headers-timeout",
        ),
        State::Waiting => (options.backoff_cap.max(SECOND).max(rest), "backoff-cap or the server"),
        State::NeedsCredentials => (
            options.credentials_timeout.max(options.backoff_cap).max(OWN_WAIT).max(rest),
            "credentials-timeout or backoff-cap",
        ),
        State::Closed => (SECOND, "a close"),
        other => panic!("what is awaited in {other:?} is not known here"),
    }
}
