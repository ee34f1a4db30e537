//! Listens in on the pipes between the client and the bridge and counts, for each request, how many answers it gets: an
//! SDK would drop a second answer in silence.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};

/// What was heard. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Wiretap(Arc<Mutex<BTreeMap<String, Heard>>>);

#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    requests: u32,
    answers: u32,
}

/// The sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests of the client.
    pub requests: u32,
    /// Answers to them.
    pub answers: u32,
    /// Requests without an answer.
    pub unanswered: u32,
    /// Answers beyond the first, or without a request.
    pub surplus: u32,
}

#[derive(Clone, Copy, Debug)]
enum From {
    Client,
    Bridge,
}

impl Wiretap {
    /// Passes on what the client writes, until it closes; then closes the bridge's stdin.
    pub async fn client_to_bridge(self, client: impl AsyncRead + Unpin, bridge: impl AsyncWrite + Unpin) {
        self.pass(From::Client, client, bridge).await;
    }

    /// Passes on what the bridge writes, until it closes.
    pub async fn bridge_to_client(self, bridge: impl AsyncRead + Unpin, client: impl AsyncWrite + Unpin) {
        self.pass(From::Bridge, bridge, client).await;
    }

    /// The sums until now.
    pub fn tally(&self) -> Tally {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.values().fold(Tally::default(), |sum, one| Tally {
            requests: sum.requests + one.requests,
            answers: sum.answers + one.answers,
            unanswered: sum.unanswered + one.requests.saturating_sub(one.answers),
            surplus: sum.surplus + one.answers.saturating_sub(one.requests),
        })
    }

    async fn pass(self, from: From, reader: impl AsyncRead + Unpin, mut writer: impl AsyncWrite + Unpin) {
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line).await, Ok(read) if read > 0) {
            self.hear(from, &line);
            if writer.write_all(&line).await.is_err() || writer.flush().await.is_err() {
                return;
            }
            line.clear();
        }
        let _ = writer.shutdown().await;
    }

    fn hear(&self, from: From, line: &[u8]) {
        let Ok(Value::Object(message)) = serde_json::from_slice(line) else { return };
        let Some(id) = message.get("id") else { return };
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (from, message.contains_key("method")) {
            (From::Client, true) => heard.entry(id.to_string()).or_default().requests += 1,
            (From::Bridge, false) => heard.entry(id.to_string()).or_default().answers += 1,
            // The server's questions and the client's answers to them.
            (From::Client, false) | (From::Bridge, true) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn counts_and_passes_on() {
        let tap = Wiretap::default();
        let mut passed = Vec::new();
        let requests = b"{\"id\":1,\"method\":\"a\"}\n{\"method\":\"n\"}\n{\"id\":\"1\",\"method\":\"b\"}\n{\"id\":2,\"method\":\"c\"}\n";
        tap.clone().client_to_bridge(&requests[..], &mut passed).await;
        assert_eq!(passed, requests);
        let answers = b"{\"id\":1,\"result\":{}}\n{\"id\":1,\"error\":{}}\n{\"id\":\"1\",\"result\":{}}\n{\"id\":9,\"method\":\"q\"}\n";
        tap.clone().bridge_to_client(&answers[..], &mut Vec::new()).await;
        assert_eq!(tap.tally(), Tally { requests: 3, answers: 3, unanswered: 1, surplus: 1 });
    }
}
