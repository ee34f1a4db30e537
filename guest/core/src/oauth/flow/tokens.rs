//! The token endpoint: refresh, the code, the client's own credentials.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Call, Goal, Oauth, Parts, Purpose, failure};
use crate::oauth::answer::{Refused, TokenAnswer};
use crate::oauth::api::{Event, Failure, FailureKind, Method, Response};
use crate::oauth::locations::{self, AddressError};
use crate::oauth::metadata::AuthMethod;
use crate::oauth::pkce;
use crate::oauth::record::{Client, Freshness, Tokens};
use crate::oauth::secret::{Secret, same};
use crate::url::Url;

impl Oauth {
    /// What to send for a call.
    pub(super) fn request(&mut self, call: &Call) -> Result<Parts, Failure> {
        match call {
            Call::Probe => Ok(self.probe_request()),
            Call::Resource(places) | Call::Server { places, .. } => match places.first() {
                Some(place) => Ok(super::get(place)),
                None => Err(failure(FailureKind::Untrusted, "there is no metadata to ask for".to_string())),
            },
            Call::Refresh => self.refresh_request(),
            Call::Exchange(code) => self.exchange_request(code),
            Call::ClientCredentials => self.client_credentials_request(),
            Call::Register => self.register_request(),
            Call::Device => self.device_request(),
            Call::Poll => self.poll_request(),
        }
    }

    /// The lock is held, and the record is what it is now.
    pub(super) fn refresh(&mut self) {
        let other = self.usable().map(|tokens| tokens.freshness(self.wall));
        if other == Some(Freshness::Fresh) {
            // Another process was faster.
            return self.succeed(false);
        }
        let refreshable = self.record.tokens.as_ref().is_some_and(|tokens| tokens.refresh.is_some());
        // The metadata that was asked for before the lock may be about another authorization server than the record now.
        let bound = self.authorization_server.as_ref().is_none_or(|server| server.issuer == self.record.issuer);
        if refreshable && bound && self.record.client.is_some() {
            return self.call(Call::Refresh);
        }
        if other.is_some_and(|freshness| freshness != Freshness::Over) {
            return self.succeed(false);
        }
        self.lock(Purpose::Need("there is no refresh token".to_string()));
    }

    fn refresh_request(&self) -> Result<Parts, Failure> {
        let untrusted = |problem: AddressError| {
            failure(FailureKind::Untrusted, format!("the stored token endpoint cannot be used: {problem}"))
        };
        let endpoint = locations::allowed(&self.record.token_endpoint, &self.server).map_err(untrusted)?;
        let tokens = self.record.tokens.as_ref();
        let refresh = tokens.and_then(|tokens| tokens.refresh.clone()).unwrap_or_default();
        let mut form = alloc::vec![
            ("grant_type".to_string(), "refresh_token".to_string()),
            ("refresh_token".to_string(), refresh.0)
        ];
        if !self.record.resource.is_empty() {
            form.push(("resource".to_string(), self.record.resource.clone()));
        }
        let client = self.record.client.clone().unwrap_or(Client {
            id: String::new(),
            secret: None,
            auth: AuthMethod::None,
            registered: false,
        });
        Ok(post_form(&endpoint, form, &self.with_secret(client)))
    }

    /// The secret of a configured client is not stored.
    pub(super) fn with_secret(&self, mut client: Client) -> Client {
        if let (false, Some(configured)) = (client.registered, &self.config.client) {
            client.secret.clone_from(&configured.secret);
        }
        client
    }

    pub(super) fn on_refreshed(&mut self, response: &Response) {
        if response.status == 200 {
            let scopes = self.record.tokens.as_ref().map(|tokens| tokens.scopes.clone()).unwrap_or_default();
            match TokenAnswer::parse(&response.body) {
                Ok(answer) => {
                    self.event(Event::Refreshed);
                    return self.keep(answer, &scopes);
                }
                Err(problem) => {
                    let text = format!("{} answered a refresh with {problem}", self.whom(&Call::Refresh));
                    return self.fail(failure(FailureKind::Untrusted, text));
                }
            }
        }
        let refused = Refused::parse(response.status, &response.body);
        let registered = self.record.client.as_ref().is_some_and(|client| client.registered);
        if refused.is_client_unknown() && !registered {
            let text = format!(
                "{} does not accept the configured client ({}); the tokens are kept",
                self.whom(&Call::Refresh),
                refused.text
            );
            return self.fail(failure(FailureKind::ClientRefused, text));
        }
        let why = if refused.is_client_unknown() {
            self.event(Event::ClientForgotten);
            self.record.client = None;
            self.record.tokens = None;
            "the authorization server has forgotten this client (a restart?)".to_string()
        } else if matches!(
            refused.code.as_str(),
            "invalid_grant" | "invalid_request" | "invalid_scope" | "invalid_target"
        ) {
            self.event(Event::TokensForgotten(refused.text.clone()));
            self.record.tokens = None;
            format!("the authorization server no longer takes the refresh token ({})", refused.text)
        } else {
            // Not its own words: a proxy's, say.
            let text =
                format!("{} refused a refresh: {}; the tokens are kept", self.whom(&Call::Refresh), refused.text);
            return self.fail(failure(FailureKind::Unreachable, text));
        };
        self.lock(Purpose::Need(why));
    }

    fn exchange_request(&self, code: &Secret) -> Result<Parts, Failure> {
        let (Some(pending), Some(client)) = (&self.pending, &self.client) else {
            return Err(failure(FailureKind::Unsupported, "there is no sign-in under way".to_string()));
        };
        let mut form = alloc::vec![
            ("grant_type".to_string(), "authorization_code".to_string()),
            ("code".to_string(), code.0.clone()),
            ("redirect_uri".to_string(), pending.redirect.clone()),
            ("code_verifier".to_string(), pending.verifier.clone()),
        ];
        form.extend(self.resource_parameter().map(|resource| ("resource".to_string(), resource)));
        Ok(post_form(&self.token_endpoint()?, form, &self.with_secret(client.clone())))
    }

    fn client_credentials_request(&mut self) -> Result<Parts, Failure> {
        let client = self.configured_client();
        let scopes = self.scopes_to_ask(false);
        let mut form = alloc::vec![("grant_type".to_string(), "client_credentials".to_string())];
        form.extend(self.resource_parameter().map(|resource| ("resource".to_string(), resource)));
        if !scopes.is_empty() {
            form.push(("scope".to_string(), scopes.join(" ")));
        }
        let request = post_form(&self.token_endpoint()?, form, &self.with_secret(client.clone()));
        self.client = Some(client);
        Ok(request)
    }

    pub(super) fn on_client_credentials(&mut self, response: &Response) {
        let scopes = self.scopes_to_ask(false);
        if response.status == 200 {
            match TokenAnswer::parse(&response.body) {
                // RFC 6749, section 4.4.3: there should be no refresh token; the secret does as well.
                Ok(answer) => {
                    self.adopt();
                    return self.lock(Purpose::Keep(TokenAnswer { refresh: None, ..answer }, scopes));
                }
                Err(problem) => {
                    let text = format!("{} answered with {problem}", self.whom(&Call::ClientCredentials));
                    return self.fail(failure(FailureKind::Untrusted, text));
                }
            }
        }
        let refused = Refused::parse(response.status, &response.body);
        let text = format!("{} gives this client no token: {}", self.whom(&Call::ClientCredentials), refused.text);
        self.fail(failure(FailureKind::ClientRefused, text));
    }

    /// The client of the options, with the way to show its secret that the server takes.
    pub(super) fn configured_client(&self) -> Client {
        let configured = self.config.client.clone();
        let has_secret = configured.as_ref().is_some_and(|client| client.secret.is_some());
        let auth = self.authorization_server.as_ref().map(|server| server.auth_method(has_secret)).unwrap_or_default();
        Client {
            id: configured.map(|client| client.id).unwrap_or_default(),
            secret: None,
            auth: if has_secret { auth } else { AuthMethod::None },
            registered: false,
        }
    }

    pub(super) fn on_exchanged(&mut self, response: &Response) {
        let scopes = self.pending.as_ref().map(|pending| pending.scopes.clone()).unwrap_or_default();
        if response.status == 200 {
            return match TokenAnswer::parse(&response.body) {
                Ok(answer) => self.signed_in(answer, scopes),
                Err(problem) => {
                    let text = format!("{} answered the sign-in with {problem}", self.whom(&Call::Refresh));
                    self.fail(failure(FailureKind::Untrusted, text))
                }
            };
        }
        let refused = Refused::parse(response.status, &response.body);
        let registered = self.client.as_ref().is_some_and(|client| client.registered);
        let again = refused.code == "invalid_grant" || (refused.is_client_unknown() && registered);
        // The server restarted while the person signed in, perhaps: once more from the beginning.
        if again && !core::mem::replace(&mut self.began_anew, true) {
            if refused.is_client_unknown() {
                self.event(Event::ClientForgotten);
            }
            self.event(Event::Retrying(format!("the sign-in was not taken ({}): it begins anew", refused.text)));
            self.registration = 0;
            return self.choose_client();
        }
        let kind = if refused.is_client_unknown() { FailureKind::ClientRefused } else { FailureKind::Denied };
        let text = format!("{} did not take the sign-in: {}", self.whom(&Call::Refresh), refused.text);
        self.fail(failure(kind, text));
    }

    pub(super) fn signed_in(&mut self, answer: TokenAnswer, scopes: Vec<String>) {
        self.event(Event::SignedIn);
        self.adopt();
        self.lock(Purpose::Keep(answer, scopes));
    }

    /// What tokens are bound to becomes that of this run.
    fn adopt(&mut self) {
        let Some(server) = &self.authorization_server else { return };
        self.record.issuer.clone_from(&server.issuer);
        self.record.token_endpoint = server.token_endpoint.as_ref().map(ToString::to_string).unwrap_or_default();
        self.record.resource = self.resource_parameter().unwrap_or_default();
        self.record.client = self.client.clone();
        self.record.tokens = None;
        self.record.sign_in = None;
        self.record.wanted.step_up = false;
    }

    /// Stores new tokens and gives them. The lock is held.
    pub(super) fn keep(&mut self, answer: TokenAnswer, asked: &[String]) {
        let old = self.record.tokens.take().and_then(|tokens| tokens.refresh);
        let old = if matches!(self.goal, Goal::Acquire { .. }) { old } else { None };
        // A server that gives the rejected token again gives nothing.
        if self.rejected.as_ref().is_some_and(|rejected| same(&rejected.0, &answer.access.0)) {
            self.rejected = None;
        }
        self.record.tokens = Some(Tokens::new(answer, asked, old, self.wall));
        self.store();
        self.succeed(false);
    }

    pub(super) fn token_endpoint(&self) -> Result<Url, Failure> {
        let endpoint = self.authorization_server.as_ref().and_then(|server| server.token_endpoint.clone());
        endpoint.ok_or_else(|| {
            failure(FailureKind::Untrusted, format!("{} names no token endpoint", self.whom(&Call::Refresh)))
        })
    }
}

/// A form for an endpoint that wants to know the client (RFC 6749, section 2.3.1).
pub(super) fn post_form(endpoint: &Url, mut form: Vec<(String, String)>, client: &Client) -> Parts {
    let mut headers: Vec<(String, Secret)> = alloc::vec![
        ("content-type".to_string(), "application/x-www-form-urlencoded".into()),
        ("accept".to_string(), "application/json".into()),
    ];
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    match (client.auth, &client.secret) {
        (AuthMethod::Basic, Some(secret)) => {
            let both = pkce::base64(&format!("{}:{}", encode(&client.id), encode(&secret.0)));
            headers.push(("authorization".to_string(), Secret(format!("Basic {both}"))));
        }
        (AuthMethod::Post, Some(secret)) => form.push(("client_secret".to_string(), secret.0.clone())),
        _ => {}
    }
    // Beside `Basic` too: the Python SDK's servers look for it here.
    form.push(("client_id".to_string(), client.id.clone()));
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&form).finish();
    (Method::Post, endpoint.to_string(), headers, body)
}
