//! Options that make no sense, make little sense, or are gone.

use serde_json::json;
use wasmtime::component::ResourceAny;

use crate::raw::{Event, OpenError, Raw, Until, initialize, messages};
use crate::support::script::Script;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_that_is_none_is_refused() {
    let mut raw = Raw::new().await;
    for url in [
        "",
        "jarvis",
        "/mcp",
        "ftp://host/",
        "http://",
        "http://user:secret@host/",
        "http://host:99999/",
        "http://ho st/",
    ] {
        let options = raw.options(url).await;
        let result = raw.open(options).await.expect("no trap");
        let Err(OpenError::InvalidUrl(text)) = result else { panic!("{url:?}: {result:?}") };
        assert!(!text.contains("secret"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_zero_are_refused() {
    let mut raw = Raw::new().await;
    for (index, name) in
        ["max-queue-messages", "max-queue-bytes", "max-message-bytes", "max-event-bytes", "max-body-bytes"]
            .into_iter()
            .enumerate()
    {
        let options = raw.options("http://127.0.0.1:1/mcp").await;
        let (api, store) = raw.options_api();
        match index {
            0 => api.call_set_max_queue(store, options, 0, 1).await,
            1 => api.call_set_max_queue(store, options, 1, 0).await,
            2 => api.call_set_max_message_bytes(store, options, 0).await,
            3 => api.call_set_max_event_bytes(store, options, 0).await,
            _ => api.call_set_max_body_bytes(store, options, 0).await,
        }
        .expect("no trap");
        let result = raw.open(options).await.expect("no trap");
        assert!(matches!(&result, Err(OpenError::Other(text)) if text.contains(name)), "{name}: {result:?}");
    }
}

/// `open` takes them, good or bad; the caller's runtime knows, and the component hears nothing of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_that_were_taken_are_gone() {
    let server = Script::http().start();
    let mut raw = Raw::new().await;
    let good = raw.options(&server.url()).await;
    let bad = raw.options("").await;
    let connection = raw.open(good).await.expect("no trap").expect("the options are good");
    assert!(raw.open(bad).await.expect("no trap").is_err());
    for gone in [good, bad] {
        let (api, store) = raw.options_api();
        assert!(api.call_set_max_attempts(store, gone, 1).await.is_err());
        assert!(raw.open(gone).await.is_err());
    }
    // A handle of another kind is no better, and no harm comes of any of it.
    assert!(raw.send(good, "{}").await.is_err());
    raw.initialize(connection).await;
}

async fn set_durations(raw: &mut Raw, options: ResourceAny, time: u64) {
    let (api, store) = raw.options_api();
    api.call_set_heartbeat_interval(&mut *store, options, time).await.expect("no trap");
    api.call_set_heartbeat_timeout(&mut *store, options, time).await.expect("no trap");
    api.call_set_hold_timeout(&mut *store, options, time).await.expect("no trap");
    api.call_set_run_timeout(&mut *store, options, time).await.expect("no trap");
    api.call_set_old_session_timeout(&mut *store, options, time).await.expect("no trap");
    api.call_set_run_limit(&mut *store, options, time).await.expect("no trap");
    api.call_set_response_timeout(&mut *store, options, time).await.expect("no trap");
    api.call_set_backoff(&mut *store, options, time, time).await.expect("no trap");
    api.call_set_start_timeout(&mut *store, options, time).await.expect("no trap");
    api.call_set_credentials_timeout(&mut *store, options, time).await.expect("no trap");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn durations_and_sizes_may_be_huge() {
    for script in [Script::http(), Script::sse()] {
        let mut server = script.start();
        let mut raw = Raw::new().await;
        let options = raw.options(&server.url()).await;
        set_durations(&mut raw, options, u64::MAX).await;
        let (api, store) = raw.options_api();
        api.call_set_max_attempts(&mut *store, options, u32::MAX).await.expect("no trap");
        api.call_set_max_queue(&mut *store, options, u32::MAX, u64::MAX).await.expect("no trap");
        api.call_set_max_message_bytes(&mut *store, options, u64::MAX).await.expect("no trap");
        api.call_set_max_event_bytes(&mut *store, options, u64::MAX).await.expect("no trap");
        api.call_set_max_body_bytes(&mut *store, options, u64::MAX).await.expect("no trap");
        let connection = raw.open(options).await.expect("no trap").expect("they are good");
        raw.initialize(connection).await;
        assert!(raw.call(connection, 2).await["result"].is_object());
        server.restart();
        // The first may have an unknown outcome; the session after it is whole.
        raw.call(connection, 3).await;
        assert!(raw.call(connection, 4).await["result"].is_object());
    }
}

/// Everything ends at once, with an error; nothing spins, nothing traps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn durations_may_be_zero() {
    let server = Script::http().start();
    let mut raw = Raw::new().await;
    let options = raw.options(&server.url()).await;
    set_durations(&mut raw, options, 0).await;
    let connection = raw.open(options).await.expect("no trap").expect("they are good");
    raw.say(connection, &initialize()).await;
    let answer = raw.answer(connection, 1).await;
    assert!(answer["error"]["code"].is_i64(), "{answer}");
    raw.say(connection, &json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"})).await;
    let answer = raw.answer(connection, 2).await;
    assert!(answer["error"]["code"].is_i64(), "{answer}");
    // Attempts go on in the background, a pause between any two.
    let before = server.records().len();
    let until = Some(Until::After(std::time::Duration::from_millis(300)));
    let mut events: Vec<Event> = Vec::new();
    loop {
        let more = raw.receive(connection, 0, until).await.expect("no trap").expect("it is open");
        if more.is_empty() || events.len() > 1000 {
            break;
        }
        events.extend(more);
        if server.records().len() - before > 100 {
            break;
        }
    }
    assert_eq!(messages(&events).count(), 0);
    raw.drop(connection).await.expect("no trap");
}
