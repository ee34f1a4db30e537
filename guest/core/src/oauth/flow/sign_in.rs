//! A person signs in: registration (RFC 7591), the browser (RFC 6749 section 4.1, RFC 7636, RFC 8252, RFC 9207), or a code on
//! another device (RFC 8628).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use serde_json::json;

use super::tokens::post_form;
use super::{Call, Device, Goal, Oauth, Parts, Pending, Purpose, Step, failure, page};
use crate::SECOND;
use crate::oauth::CALLBACK_PATH;
use crate::oauth::answer::{AnswerError, DeviceAnswer, Refused, Registered, TokenAnswer};
use crate::oauth::api::{Failure, FailureKind, Grant, Method, Output, Page, RedirectHost, Response};
use crate::oauth::locations;
use crate::oauth::metadata::AuthMethod;
use crate::oauth::pkce;
use crate::oauth::record::{Client, Freshness, SignIn};
use crate::oauth::scope;
use crate::oauth::secret::{Secret, same};
use crate::oauth::text::clean;

/// A query of a redirect that is longer is not looked at, in bytes.
const MAX_QUERY: usize = 16 << 10;

impl Oauth {
    pub(super) fn begin_sign_in(&mut self, by_person: bool) {
        let wanted = self.record.wanted.clone();
        if !by_person {
            // Another process was faster; or nobody is to be troubled again so soon.
            let enough = |tokens: &crate::oauth::record::Tokens| {
                tokens.freshness(self.wall) != Freshness::Over
                    && (!wanted.step_up || scope::holds(&tokens.scopes, &wanted.scopes))
            };
            if self.usable().is_some_and(enough) {
                return self.succeed(false);
            }
            let age = self.wall.saturating_sub(self.record.opened_at);
            if !wanted.step_up && self.record.opened_at > 0 && age < self.config.tab_interval {
                let text = format!(
                    "a browser was opened {age} s ago, and another is opened no sooner than {} s after that",
                    self.config.tab_interval
                );
                return self.finish(Err(failure(FailureKind::TooSoon, text)));
            }
        }
        if self.config.grant == Grant::ClientCredentials {
            let text = "with client credentials nobody signs in".to_string();
            return self.finish(Err(failure(FailureKind::Unsupported, text)));
        }
        if wanted.resource_metadata.is_some() {
            self.challenge.resource_metadata = wanted.resource_metadata;
            self.challenge.scopes = wanted.scopes;
            return self.discover();
        }
        self.call(Call::Probe);
    }

    /// The scopes to ask for: those of the options, else those of the challenge, else those of the metadata; and what the token
    /// has already, where it does not allow enough.
    pub(super) fn scopes_to_ask(&self, refreshable: bool) -> Vec<String> {
        let wanted = &self.record.wanted;
        let challenge = if self.challenge.scopes.is_empty() { &wanted.scopes } else { &self.challenge.scopes };
        let mut scopes = if !self.config.scopes.is_empty() {
            self.config.scopes.clone()
        } else if !challenge.is_empty() {
            challenge.clone()
        } else {
            self.resource.as_ref().map(|resource| resource.scopes.clone()).unwrap_or_default()
        };
        if wanted.step_up {
            let had = self.record.tokens.as_ref().map(|tokens| tokens.scopes.clone()).unwrap_or_default();
            scopes = scope::union(&had, scopes.iter().chain(&wanted.scopes).map(String::as_str));
        }
        let offered = self
            .authorization_server
            .as_ref()
            .is_some_and(|server| server.scopes.iter().any(|scope| scope == "offline_access"));
        if refreshable && offered {
            scopes = scope::union(&scopes, ["offline_access"]);
        }
        scopes
    }

    /// Whether a code is entered on another device.
    fn uses_device(&self) -> bool {
        let offered = self.authorization_server.as_ref().is_some_and(|server| server.device_endpoint.is_some());
        match self.config.grant {
            Grant::Device => true,
            Grant::AuthorizationCode => self.config.prefers_device && offered && !self.device_refused,
            Grant::ClientCredentials => false,
        }
    }

    /// A code for another device was not what was asked for in the first place: a browser will do. False: it was.
    fn use_browser_instead(&mut self) -> bool {
        let instead = self.uses_device() && self.config.grant != Grant::Device;
        if instead {
            self.device_refused = true;
            self.registration = 0;
            self.choose_grant();
        }
        instead
    }

    pub(super) fn choose_grant(&mut self) {
        let uses_device = self.uses_device();
        let Some(server) = &self.authorization_server else { return };
        let issuer = clean(&server.issuer);
        let missing = match uses_device {
            true if server.device_endpoint.is_none() => {
                Some(format!("the authorization server {issuer} has no device authorization (RFC 8628)"))
            }
            true => None,
            _ if server.authorization_endpoint.is_none() => {
                Some(format!("the authorization server {issuer} names no authorization endpoint"))
            }
            _ if !server.s256 => Some(format!(
                "the authorization server {issuer} does not say that it supports PKCE with S256, without which no code is \
                 asked for"
            )),
            _ => None,
        };
        match (missing, uses_device) {
            (Some(text), _) => self.fail(failure(FailureKind::Unsupported, text)),
            (None, true) => self.choose_client(),
            (None, false) => {
                self.step = Step::Listening;
                self.outputs.push_back(Output::Listen);
            }
        }
    }

    /// The listener's port is known, so that the client can be registered with it.
    pub(super) fn choose_client(&mut self) {
        let documents = self.authorization_server.as_ref().is_some_and(|server| server.client_id_documents);
        if self.config.client.is_some() {
            self.client = Some(self.configured_client());
        } else if let (Some(url), true) = (&self.config.client_metadata_url, documents) {
            let id = url.clone();
            self.client = Some(Client { id, secret: None, auth: AuthMethod::None, registered: false });
        } else {
            // Anew each time: nobody can then be led to a page that says that the client is not known.
            return self.call(Call::Register);
        }
        self.authorize();
    }

    fn redirect(&self) -> String {
        let address = self.config.redirect_host == RedirectHost::Address;
        let host = if address && self.registration != 1 { "127.0.0.1" } else { "localhost" };
        format!("http://{host}:{}{CALLBACK_PATH}", self.listening.unwrap_or_default())
    }

    pub(super) fn register_request(&mut self) -> Result<Parts, Failure> {
        let server = self.authorization_server.as_ref();
        let Some(endpoint) = server.and_then(|server| server.registration_endpoint.clone()) else {
            return Err(self.no_registration("it has no registration endpoint"));
        };
        let method = match self.registration {
            2 => AuthMethod::Post,
            _ => server.map(|server| server.auth_method(false)).unwrap_or_default(),
        };
        let mut body = json!({
            "client_name": "mcp-reconnect",
            "client_uri": env!("CARGO_PKG_REPOSITORY"),
            "token_endpoint_auth_method": method.name(),
            "application_type": "native",
        });
        if self.uses_device() {
            body["grant_types"] = json!(["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"]);
            body["response_types"] = json!([]);
            body["redirect_uris"] = json!([]);
        } else {
            body["grant_types"] = json!(["authorization_code", "refresh_token"]);
            body["response_types"] = json!(["code"]);
            body["redirect_uris"] = json!([self.redirect()]);
        }
        let scopes = self.scopes_to_ask(true);
        if !scopes.is_empty() {
            body["scope"] = json!(scopes.join(" "));
        }
        let headers = [("content-type", "application/json"), ("accept", "application/json")];
        let headers = headers.map(|(name, value)| (name.to_string(), value.into())).to_vec();
        Ok((Method::Post, endpoint.to_string(), headers, body.to_string()))
    }

    fn no_registration(&self, why: &str) -> Failure {
        let text = format!(
            "{} registers no client by itself ({why}): have one registered there and give its id (--oauth-client-id)",
            self.whom(&Call::Register)
        );
        failure(FailureKind::Unsupported, text)
    }

    pub(super) fn on_registered(&mut self, response: &Response) {
        if matches!(response.status, 200 | 201) {
            let registered = match Registered::parse(&response.body) {
                Ok(registered) => registered,
                Err(problem) => {
                    let text = format!("{} answered the registration with {problem}", self.whom(&Call::Register));
                    return self.fail(failure(FailureKind::Untrusted, text));
                }
            };
            let has_secret = registered.secret.is_some();
            let usual = self.authorization_server.as_ref().map(|server| server.auth_method(has_secret));
            let auth = registered.method.or(usual).unwrap_or_default();
            self.client = Some(Client {
                id: registered.id,
                secret: registered.secret,
                auth: if has_secret { auth } else { AuthMethod::None },
                registered: true,
            });
            return self.authorize();
        }
        let refused = Refused::parse(response.status, &response.body);
        if response.status == 400
            && matches!(refused.code.as_str(), "invalid_redirect_uri" | "invalid_client_metadata")
            && self.registration < 2
        {
            // The next spelling of the same client.
            self.registration += 1;
            return self.call(Call::Register);
        }
        if self.use_browser_instead() {
            return;
        }
        let why = self.no_registration(&refused.text);
        self.fail(why);
    }

    fn authorize(&mut self) {
        if self.uses_device() {
            return self.call(Call::Device);
        }
        let server = self.authorization_server.as_ref();
        let (Some(endpoint), Some(client)) =
            (server.and_then(|server| server.authorization_endpoint.clone()), &self.client)
        else {
            return;
        };
        let scopes = self.scopes_to_ask(true);
        let pending =
            Pending { state: self.random.text(), verifier: self.random.text(), redirect: self.redirect(), scopes };
        let mut url = endpoint.to_string();
        // What the endpoint has of its own is kept (RFC 6749, section 3.1).
        url.push(if url.contains('?') { '&' } else { '?' });
        let start = url.len();
        let mut query = form_urlencoded::Serializer::for_suffix(url, start);
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &client.id)
            .append_pair("redirect_uri", &pending.redirect)
            .append_pair("state", &pending.state)
            .append_pair("code_challenge", &pkce::challenge(&pending.verifier))
            .append_pair("code_challenge_method", "S256");
        if let Some(resource) = self.resource_parameter() {
            query.append_pair("resource", &resource);
        }
        if !pending.scopes.is_empty() {
            query.append_pair("scope", &pending.scopes.join(" "));
            // OpenID Connect Core 1.0, section 11: a refresh token wants consent.
            if pending.scopes.iter().any(|scope| scope == "offline_access") {
                query.append_pair("prompt", "consent");
            }
        }
        for (name, value) in &self.config.parameters {
            query.append_pair(name, value);
        }
        let url = query.finish();
        self.pending = Some(pending);
        let sign_in = SignIn { url, code: None, at: self.wall, failed: None };
        self.publish(sign_in);
    }

    fn publish(&mut self, sign_in: SignIn) {
        let opened_at = if self.goal == (Goal::SignIn { by_person: true }) { 0 } else { self.wall };
        self.lock(Purpose::Publish(sign_in, opened_at));
    }

    /// Everybody can tell what is to be opened; now the person is asked.
    pub(super) fn published(&mut self) {
        let Some(sign_in) = self.record.sign_in.clone() else { return };
        match (&self.device, sign_in.code) {
            (Some(device), Some(code)) => {
                let expires_in = (device.until - self.now).as_secs();
                self.outputs.push_back(Output::UserCode { url: sign_in.url, code, expires_in });
                self.poll_later(false);
            }
            _ => {
                self.outputs.push_back(Output::Authorize(sign_in.url));
                self.step = Step::Authorizing;
                self.timer = Some(self.now + self.config.sign_in_timeout);
            }
        }
    }

    /// RFC 6749, section 4.1.2, in the order of RFC 9207, section 2.4: whose answer it is, before anything else of it counts.
    pub(super) fn on_callback(&mut self, query: &str) {
        if self.step != Step::Authorizing || query.len() > MAX_QUERY {
            return page(self, Page::NotExpected);
        }
        let Some(pending) = self.pending.clone() else { return page(self, Page::NotExpected) };
        let parameters: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .take(50)
            .collect();
        let all = |name: &str| {
            let named = |(n, _): &&(String, String)| n == name;
            parameters.iter().filter(named).map(|(_, value)| value.clone()).collect::<Vec<_>>()
        };
        // Somebody else's request, a second tab, a favicon: the wait goes on.
        if !matches!(&all("state")[..], [state] if same(state, &pending.state)) {
            return page(self, Page::NotExpected);
        }
        let server = self.authorization_server.clone();
        let (issuer, says_issuer) = server.map(|server| (server.issuer, server.says_issuer)).unwrap_or_default();
        let problem = match &all("iss")[..] {
            [said] if same(said, &issuer) => None,
            [] if !says_issuer => None,
            [] => Some(format!(
                "the authorization server {} says who it is in its answers, and this one does not",
                clean(&issuer)
            )),
            _ => Some(format!("the answer to the sign-in is not from {}: it was not used", clean(&issuer))),
        };
        // Used up, whatever comes of it.
        self.timer = None;
        if let Some(text) = problem {
            page(self, Page::Refused);
            return self.fail(failure(FailureKind::Untrusted, text));
        }
        if let Some(error) = all("error").first() {
            page(self, Page::Refused);
            return self.on_refused(error, all("error_description").first());
        }
        match &all("code")[..] {
            [code] if !code.is_empty() => {
                page(self, Page::Received);
                self.call(Call::Exchange(Secret(code.clone())));
            }
            _ => {
                page(self, Page::Refused);
                let text = "the authorization server sent the browser back without a code".to_string();
                self.fail(failure(FailureKind::Untrusted, text));
            }
        }
    }

    fn on_refused(&mut self, error: &str, description: Option<&String>) {
        let registered = self.client.as_ref().is_some_and(|client| client.registered);
        if matches!(error, "invalid_client" | "unauthorized_client")
            && registered
            && !core::mem::replace(&mut self.began_anew, true)
        {
            return self.choose_client();
        }
        let description = description.map(|text| format!(": {}", clean(text))).unwrap_or_default();
        let text = format!("the sign-in was refused ({}{description})", clean(error));
        self.fail(failure(FailureKind::Denied, text));
    }

    pub(super) fn device_request(&mut self) -> Result<Parts, Failure> {
        let endpoint = self.authorization_server.as_ref().and_then(|server| server.device_endpoint.clone());
        let (Some(endpoint), Some(client)) = (endpoint, self.client.clone()) else {
            return Err(failure(FailureKind::Unsupported, "there is no device authorization endpoint".to_string()));
        };
        let scopes = self.scopes_to_ask(true);
        let mut form = Vec::new();
        form.extend(self.resource_parameter().map(|resource| ("resource".to_string(), resource)));
        if !scopes.is_empty() {
            form.push(("scope".to_string(), scopes.join(" ")));
        }
        Ok(post_form(&endpoint, form, &self.with_secret(client)))
    }

    pub(super) fn on_device(&mut self, response: &Response) {
        if response.status != 200 {
            if self.use_browser_instead() {
                return;
            }
            let refused = Refused::parse(response.status, &response.body);
            let text = format!("{} gives no code for a device: {}", self.whom(&Call::Device), refused.text);
            return self.fail(failure(FailureKind::Denied, text));
        }
        let answer = DeviceAnswer::parse(&response.body).and_then(|answer| {
            let url = answer.complete.clone().unwrap_or_else(|| answer.uri.clone());
            let url = locations::allowed(&url, &self.server).map_err(AnswerError::Address)?;
            Ok((answer, url.to_string()))
        });
        let (answer, url) = match answer {
            Ok(answer) => answer,
            Err(problem) => {
                let text = format!("{} answered with {problem}", self.whom(&Call::Device));
                return self.fail(failure(FailureKind::Untrusted, text));
            }
        };
        let life = Duration::from_secs(answer.expires_in);
        self.device = Some(Device {
            code: answer.device_code,
            interval: Duration::from_secs(answer.interval),
            until: self.now + life.min(self.config.sign_in_timeout),
            scopes: self.scopes_to_ask(true),
        });
        let sign_in = SignIn { url, code: Some(answer.user_code), at: self.wall, failed: None };
        self.publish(sign_in);
    }

    /// RFC 8628, section 3.5. A server that is away is asked less often.
    pub(super) fn poll_later(&mut self, slower: bool) {
        let Some(device) = &mut self.device else { return };
        if slower {
            device.interval = (device.interval + 5 * SECOND).min(60 * SECOND);
        }
        if self.now + device.interval >= device.until {
            let text = "nobody has entered the code in time".to_string();
            return self.fail(failure(FailureKind::TimedOut, text));
        }
        self.timer = Some(self.now + device.interval);
        self.step = Step::Pausing(Call::Poll);
    }

    pub(super) fn poll_request(&mut self) -> Result<Parts, Failure> {
        let (Some(device), Some(client)) = (&self.device, self.client.clone()) else {
            return Err(failure(FailureKind::Unsupported, "there is no device authorization under way".to_string()));
        };
        let grant = "urn:ietf:params:oauth:grant-type:device_code".to_string();
        let form = alloc::vec![("grant_type".to_string(), grant), ("device_code".to_string(), device.code.0.clone())];
        let endpoint = self.token_endpoint()?;
        Ok(post_form(&endpoint, form, &self.with_secret(client)))
    }

    pub(super) fn on_polled(&mut self, response: &Response) {
        let scopes = self.device.as_ref().map(|device| device.scopes.clone()).unwrap_or_default();
        if response.status == 200 {
            return match TokenAnswer::parse(&response.body) {
                Ok(answer) => self.signed_in(answer, scopes),
                Err(problem) => {
                    let text = format!("{} answered with {problem}", self.whom(&Call::Poll));
                    self.fail(failure(FailureKind::Untrusted, text));
                }
            };
        }
        let refused = Refused::parse(response.status, &response.body);
        match refused.code.as_str() {
            "authorization_pending" => self.poll_later(false),
            "slow_down" => self.poll_later(true),
            "expired_token" => {
                let text = "the code has expired before it was entered".to_string();
                self.fail(failure(FailureKind::TimedOut, text));
            }
            _ => {
                let text = format!("the sign-in was refused ({})", refused.text);
                self.fail(failure(FailureKind::Denied, text));
            }
        }
    }
}
