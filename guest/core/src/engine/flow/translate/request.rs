//! Requests of a translated session.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Level;
use crate::api::errors;
use crate::engine::Engine;
use crate::engine::flow::modern::Own;
use crate::engine::flow::settle::{self, End};
use crate::engine::state::requests::RequestKey;
use crate::policy::era;
use crate::policy::replay::Evidence;
use crate::wire::json::{self, Params, Parsed};
use crate::wire::modern::{self, CAPABILITIES_KEY, CLIENT_KEY, LOG_LEVEL_KEY, VERSION_KEY};

/// A request as it goes out.
pub(crate) struct Outbound {
    pub body: String,
    pub headers: Vec<(String, String)>,
}

impl Engine {
    /// The members of `_meta` that each translated request has.
    pub(crate) fn translated_meta(&self) -> String {
        let text = self.client.initialize.as_ref().map_or("", |initialize| &initialize.text);
        let params = json::member(text, "params");
        let params = params.and_then(|params| json::members(params.get(), ["clientInfo", "capabilities"]));
        let [client, capabilities] = params.unwrap_or_default();
        let capabilities = capabilities.map(client_capabilities);
        let mut meta = alloc::format!(
            r#""{VERSION_KEY}":"{}","{CAPABILITIES_KEY}":{}"#,
            modern::FIRST,
            capabilities.unwrap_or_else(|| "{}".to_string())
        );
        if let Some(client) = client {
            meta.push_str(&alloc::format!(r#","{CLIENT_KEY}":{}"#, client.get()));
        }
        if let Some(level) = self.settings.log_level() {
            meta.push_str(&alloc::format!(r#","{LOG_LEVEL_KEY}":{level}"#));
        }
        meta
    }

    /// The request in the form that it is sent in, or none if it is answered here.
    pub(crate) fn translate_request(&mut self, key: RequestKey, body: String) -> Option<Outbound> {
        let request = self.requests.get(&key)?;
        let method = request.method.clone();
        match method.as_str() {
            "logging/setLevel" => {
                self.answer_here(key);
                return None;
            }
            "resources/subscribe" | "resources/unsubscribe" => {
                self.translate_subscription(key, method == "resources/subscribe");
                return None;
            }
            _ if has_odd_params(&request.text) => {
                let text = alloc::format!("{method} was not sent: its params are no object.");
                self.answer_error(key, errors::INVALID_PARAMS, &text, None);
                return None;
            }
            _ if method.starts_with("tasks/") => {
                let text = alloc::format!("Method not found: {method} is not known to a server without sessions.");
                self.answer_error(key, errors::METHOD_NOT_FOUND, &text, None);
                return None;
            }
            _ => {}
        }
        let wire = request.wire_id;
        let answers = request.translated.as_ref().map_or("", |part| part.answers.as_str());
        let meta = self.translated_meta();
        let (method, body) = match method.as_str() {
            "ping" => ("server/discover".to_string(), modern::request(wire, "server/discover", "", &meta)),
            _ => (method, with_meta(&body, &meta, answers)),
        };
        let mut headers = modern::headers(modern::FIRST, &method);
        if modern::has_name(&method)
            && let Ok(Parsed::One(envelope)) = json::parse(&body)
            && let Some(name) = modern::name_header(&method, &envelope.params)
        {
            headers.push(("mcp-name".to_string(), name));
        }
        if method == "tools/call" {
            headers.extend(self.param_headers(&body));
        }
        Some(Outbound { body, headers })
    }

    /// Answers a request, the client's or the engine's own, as a server does that has nothing to say.
    pub(crate) fn answer_here(&mut self, key: RequestKey) {
        let Some(request) = self.requests.get(&key) else { return };
        let wire = request.wire_id.to_string();
        let text = alloc::format!(r#"{{"jsonrpc":"2.0","id":{wire},"result":{{}}}}"#);
        self.on_answer(key, text, Some(22..22 + wire.len()), None);
    }

    /// Looks at an answer before the client gets it. True: it goes another way.
    pub(crate) fn on_translated_answer(
        &mut self,
        key: RequestKey,
        text: &mut String,
        id_at: &mut Range<usize>,
    ) -> bool {
        let Some(request) = self.requests.get(&key) else { return true };
        let method = request.method.clone();
        let Ok(Parsed::One(envelope)) = json::parse(text) else { return false };
        if let Some(error) = envelope.error {
            return self.correct_translated(key, &method, error.get());
        }
        let Some(result) = envelope.result else { return false };
        if is_input_required(result.get()) {
            let result = result.get().to_string();
            self.ask_for_input(key, &result);
            return true;
        }
        if method == "tools/list" {
            let first = self.asks_for_the_first_page(key);
            let at = Params::span(result, text).range();
            if let Some(edited) = self.learn_tools_page(result.get(), first) {
                (*text, *id_at) = super::super::modern::splice_beside(text, at, &edited, id_at.clone());
            }
        }
        false
    }

    /// The server says that headers or version do not fit: the request did not run, and is sent once more.
    fn correct_translated(&mut self, key: RequestKey, method: &str, error: &str) -> bool {
        let (code, message) = match serde_json::from_str::<&RawValue>(error) {
            Ok(raw) => json::error_of(raw),
            Err(_) => return false,
        };
        let rebuild = code == era::HEADER_MISMATCH && method == "tools/call";
        let again = code == era::UNSUPPORTED_VERSION && era::supported(error).iter().any(|one| one == modern::FIRST);
        if !rebuild && !again {
            return false;
        }
        let Some(part) = self.requests.translated(key) else { return false };
        if core::mem::replace(&mut part.corrected, true) {
            return false;
        }
        let exchange = self.exchange_of(key);
        self.requests.awaits_other_sending(key);
        if let Some(exchange) = exchange {
            self.retire(exchange);
        }
        let message = settle::clip(&message);
        self.log(Level::Info, alloc::format!("{method} is sent once more: the server answered \"{message}\""));
        if rebuild {
            self.post_modern_own(Own::Tools(key, 0), "tools/list", "");
        } else {
            let reason = "its version was refused".to_string();
            self.settle(key, End { evidence: Evidence::NotSent, accepted: false, reason, refusal: None });
        }
        true
    }

    /// Whether this request was sent in a translated session, or waits to be sent in the one there is.
    pub(crate) fn translates(&self, key: RequestKey) -> bool {
        let Some(request) = self.requests.get(&key).filter(|request| !request.is_modern()) else { return false };
        let is_sent = request.translated.as_ref().is_some_and(|part| part.is_sent);
        is_sent || self.is_translated() && request.epoch == self.epoch
    }
}

/// A request with these members in its `_meta`, and others in its `params`.
fn with_meta(text: &str, meta: &str, members: &str) -> String {
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(borrow, default, deserialize_with = "json::present")]
        params: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Holder<'a> {
        #[serde(borrow, default, rename = "_meta", deserialize_with = "json::present")]
        meta: Option<&'a RawValue>,
    }
    let place = |raw: &RawValue| raw.get().as_ptr() as usize - text.as_ptr() as usize;
    let comma = |object: &str| if object[1..object.len() - 1].trim().is_empty() { "" } else { "," };
    let params = json::object::<Message>(text).and_then(|message| message.params);
    let object = params.filter(|params| params.get().starts_with('{'));
    let Some(params) = object else {
        // Without params, or with none.
        let start = text.find('{').map_or(0, |at| at + 1);
        let with = alloc::format!(r#""params":{{{members}"_meta":{{{meta}}}}},"#);
        return match params {
            Some(none) => {
                let at = place(none)..place(none) + none.get().len();
                json::splice(text, at, &alloc::format!(r#"{{{members}"_meta":{{{meta}}}}}"#))
            }
            None => json::splice(text, start..start, &with),
        };
    };
    let own = json::object::<Holder>(params.get()).and_then(|holder| holder.meta);
    let start = place(params) + 1;
    match own {
        Some(own) if own.get().starts_with('{') => {
            let at = place(own) + 1;
            let text = json::splice(text, at..at, &alloc::format!("{meta}{}", comma(own.get())));
            json::splice(&text, start..start, members)
        }
        Some(own) => {
            let at = place(own)..place(own) + own.get().len();
            let text = json::splice(text, at, &alloc::format!("{{{meta}}}"));
            json::splice(&text, start..start, members)
        }
        None => {
            let with = alloc::format!(r#"{members}"_meta":{{{meta}}}{}"#, comma(params.get()));
            json::splice(text, start..start, &with)
        }
    }
}

/// Whether there are params, and they are neither an object nor `null`.
fn has_odd_params(text: &str) -> bool {
    let params = json::member(text, "params");
    params.is_some_and(|params| !params.get().starts_with('{'))
}

/// What a client declared, but for what the versions without sessions do not know.
fn client_capabilities(raw: &RawValue) -> String {
    let members = serde_json::from_str::<alloc::collections::BTreeMap<String, &RawValue>>(raw.get());
    let members: Vec<_> = members
        .unwrap_or_default()
        .into_iter()
        .filter(|(name, _)| name != "tasks")
        .map(|(name, value)| alloc::format!("{}:{}", json::quote(&name), value.get()))
        .collect();
    alloc::format!("{{{}}}", members.join(","))
}

fn is_input_required(result: &str) -> bool {
    // Most results are large, and few ask for something.
    result.contains("input_required")
        && json::member(result, "resultType").and_then(json::string).is_some_and(|kind| kind == "input_required")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meta_goes_where_there_is_none_and_beside_what_there_is() {
        for (text, with) in [
            (r#"{"id":1,"method":"m"}"#, r#"{"params":{"a":1,"_meta":{"v":2}},"id":1,"method":"m"}"#),
            (r#"{"id":1,"params":{}}"#, r#"{"id":1,"params":{"a":1,"_meta":{"v":2}}}"#),
            (r#"{"params": {"x":1},"id":1}"#, r#"{"params": {"a":1,"_meta":{"v":2},"x":1},"id":1}"#),
            (r#"{"params":{"x":1,"_meta":{"p":7}}}"#, r#"{"params":{"a":1,"x":1,"_meta":{"v":2,"p":7}}}"#),
            (r#"{"params":{"_meta":{}}}"#, r#"{"params":{"a":1,"_meta":{"v":2}}}"#),
            (r#"{"params":{"_meta":null}}"#, r#"{"params":{"a":1,"_meta":{"v":2}}}"#),
            (r#"{"id":1,"params":null}"#, r#"{"id":1,"params":{"a":1,"_meta":{"v":2}}}"#),
        ] {
            assert_eq!(with_meta(text, r#""v":2"#, r#""a":1,"#), with, "{text}");
        }
    }

    #[test]
    fn tasks_are_not_declared() {
        let raw: &RawValue = serde_json::from_str(r#"{"tasks":{"list":{}},"elicitation":{"form":{}}}"#).unwrap();
        assert_eq!(client_capabilities(raw), r#"{"elicitation":{"form":{}}}"#);
        assert_eq!(client_capabilities(serde_json::from_str("7").unwrap()), "{}");
    }
}
