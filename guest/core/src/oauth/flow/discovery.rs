//! Who the authorization server is: RFC 9728, RFC 8414, OpenID Connect Discovery.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Call, Goal, Oauth, Parts, Purpose, failure, get};
use crate::oauth::api::{Event, FailureKind, Grant, Method, Response};
use crate::oauth::challenge::Challenge;
use crate::oauth::locations;
use crate::oauth::metadata::{Misfit, ResourceMetadata, ServerMetadata};
use crate::oauth::text::clean;
use crate::url::Url;

impl Oauth {
    /// Asks the MCP server for its challenge. A GET without a session begins nothing there.
    pub(super) fn probe_request(&self) -> Parts {
        let (_, url, _, body) = get(&self.server);
        let accept = ("accept".to_string(), "application/json, text/event-stream".into());
        (Method::Get, url, [accept].to_vec(), body)
    }

    pub(super) fn on_probed(&mut self, response: &Response) {
        if response.status == 401 {
            let header = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("www-authenticate");
            let challenges = response.headers.iter().filter(header);
            self.challenge = challenges.filter_map(|(_, value)| Challenge::parse(value)).next().unwrap_or_default();
        }
        self.discover();
    }

    pub(super) fn discover(&mut self) {
        if let Some(url) = &self.config.server_metadata_url
            && let Ok(url) = Url::parse(url)
        {
            return self.call(Call::Server { issuer: String::new(), guessed: false, places: [url].to_vec() });
        }
        let mut places = Vec::new();
        if let Some(named) = &self.challenge.resource_metadata {
            match locations::allowed(named, &self.server) {
                Ok(url) => places.push(url),
                Err(problem) => {
                    let text = format!(
                        "the server says that its metadata is at {}, which is not asked: {problem}",
                        clean(named)
                    );
                    return self.fail(failure(FailureKind::Untrusted, text));
                }
            }
        }
        for place in locations::resource_metadata(&self.server) {
            places.extend(Url::parse(&place).ok().filter(|url| !places.contains(url)));
        }
        self.call(Call::Resource(places));
    }

    pub(super) fn on_resource(&mut self, response: &Response, mut places: Vec<Url>) {
        let asked = if places.is_empty() { None } else { Some(places.remove(0)) };
        if response.status == 200 {
            match ResourceMetadata::parse(&response.body, &self.server) {
                Ok(metadata) => return self.on_resource_known(metadata),
                Err(Misfit::Contradiction(what)) => {
                    return self.fail(failure(FailureKind::Untrusted, what.to_string()));
                }
                Err(Misfit::NotMetadata(what)) => {
                    let named = self.challenge.resource_metadata.as_deref().and_then(|url| Url::parse(url).ok());
                    // Many servers answer any path with a page; but not the one that they name themselves.
                    if let (Some(asked), true) = (&asked, named == asked) {
                        let text = format!("the server's metadata at {} is {what}", clean(&asked.to_string()));
                        return self.fail(failure(FailureKind::Untrusted, text));
                    }
                }
            }
        }
        if !places.is_empty() {
            return self.call(Call::Resource(places));
        }
        // MCP 2025-03-26: the server is its own authorization server.
        self.ask_origin();
    }

    fn ask_origin(&mut self) {
        let issuer = locations::origin(&self.server);
        match Url::parse(&issuer) {
            Ok(url) => self.ask_server(issuer, true, &url),
            Err(problem) => self.fail(failure(FailureKind::Untrusted, problem.to_string())),
        }
    }

    fn on_resource_known(&mut self, metadata: ResourceMetadata) {
        let known = metadata.issuers.iter().find(|issuer| **issuer == self.record.issuer);
        let issuer = known.or(metadata.issuers.first()).cloned();
        self.resource = Some(metadata);
        let Some(issuer) = issuer else { return self.ask_origin() };
        match locations::allowed(&issuer, &self.server) {
            Ok(url) => self.ask_server(issuer, false, &url),
            Err(problem) => {
                let text = format!("the authorization server {} is not asked: {problem}", clean(&issuer));
                self.fail(failure(FailureKind::Untrusted, text));
            }
        }
    }

    fn ask_server(&mut self, issuer: String, guessed: bool, url: &Url) {
        let places = locations::server_metadata(url).iter().filter_map(|place| Url::parse(place).ok()).collect();
        self.call(Call::Server { issuer, guessed, places });
    }

    pub(super) fn on_server(&mut self, response: &Response, issuer: String, guessed: bool, mut places: Vec<Url>) {
        if response.status == 200 {
            match ServerMetadata::parse(&response.body, &issuer, guessed, &self.server) {
                Ok(metadata) => return self.on_server_known(metadata),
                Err(Misfit::Contradiction(what)) => {
                    return self.fail(failure(FailureKind::Untrusted, what.to_string()));
                }
                Err(Misfit::NotMetadata(_)) => {}
            }
        }
        if !places.is_empty() {
            places.remove(0);
        }
        if !places.is_empty() {
            return self.call(Call::Server { issuer, guessed, places });
        }
        if guessed && self.config.without_metadata {
            return self.on_server_known(ServerMetadata::of_origin(&self.server));
        }
        let (kind, text) = if guessed {
            let text = "the server rejects the request and names no authorization server: it wants credentials of another kind";
            (FailureKind::NotOauth, text.to_string())
        } else {
            let text = format!(
                "the authorization server {} has no usable metadata (RFC 8414, OpenID Connect)",
                clean(if issuer.is_empty() { "of the options" } else { &issuer })
            );
            (FailureKind::Untrusted, text)
        };
        self.fail(failure(kind, text));
    }

    fn on_server_known(&mut self, metadata: ServerMetadata) {
        let (old, new) = (self.record.issuer.clone(), metadata.issuer.clone());
        self.authorization_server = Some(metadata);
        if !old.is_empty() && old != new {
            // MCP, "Authorization Server Binding": what one gave is never shown to another.
            self.event(Event::IssuerChanged(old.clone(), new.clone()));
            if self.config.client.is_some() {
                let text = format!(
                    "the server names another authorization server, {}; the configured client is known to {}: give the \
                     client id of the new one",
                    clean(&new),
                    clean(&old)
                );
                return self.fail(failure(FailureKind::ClientRefused, text));
            }
            self.record.client = None;
            self.record.tokens = None;
        }
        match self.goal {
            Goal::Acquire { .. } if self.config.grant == Grant::ClientCredentials => self.call(Call::ClientCredentials),
            Goal::Acquire { .. } => {
                let refreshable = self.record.tokens.as_ref().is_some_and(|tokens| tokens.refresh.is_some());
                if refreshable && old == new {
                    return self.lock(Purpose::Refresh);
                }
                let why =
                    if refreshable { "the server uses another authorization server now" } else { "there is no token" };
                self.lock(Purpose::Need(why.to_string()));
            }
            Goal::SignIn { .. } => self.choose_grant(),
        }
    }
}
