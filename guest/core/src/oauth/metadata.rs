//! Metadata of protected resources (RFC 9728) and of authorization servers (RFC 8414, OpenID Connect Discovery 1.0).

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::locations::{self, AddressError};
use super::scope;
use super::text::clean;
use crate::url::Url;

/// The most entries of a list that are looked at.
const MAX_ENTRIES: usize = 100;

/// What a resource says of itself (RFC 9728, section 2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ResourceMetadata {
    pub resource: String,
    pub issuers: Vec<String>,
    pub scopes: Vec<String>,
}

/// What an authorization server says of itself (RFC 8414, section 2), with endpoints that may be used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ServerMetadata {
    pub issuer: String,
    pub authorization_endpoint: Option<Url>,
    pub token_endpoint: Option<Url>,
    pub registration_endpoint: Option<Url>,
    pub device_endpoint: Option<Url>,
    pub scopes: Vec<String>,
    /// `token_endpoint_auth_methods_supported`; none: not said.
    pub auth_methods: Option<Vec<String>>,
    pub s256: bool,
    /// `authorization_response_iss_parameter_supported` (RFC 9207).
    pub says_issuer: bool,
    /// `client_id_metadata_document_supported`.
    pub client_id_documents: bool,
}

/// A list of strings; what is none is left out, and so is everything where it is no list.
fn strings(raw: Option<&RawValue>) -> Option<Vec<String>> {
    let all: Vec<&RawValue> = serde_json::from_str(raw?.get()).ok()?;
    Some(all.iter().take(MAX_ENTRIES).filter_map(|one| serde_json::from_str(one.get()).ok()).collect())
}

fn string(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(raw?.get()).ok()
}

fn truth(raw: Option<&RawValue>) -> bool {
    raw.is_some_and(|raw| raw.get() == "true")
}

fn scopes(raw: Option<&RawValue>) -> Vec<String> {
    scope::union(&[], strings(raw).unwrap_or_default().iter().map(String::as_str))
}

/// What bytes are that should be a JSON object. Its `Display` is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum NotAnObject {
    Empty,
    Html,
    Other,
}

impl fmt::Display for NotAnObject {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Empty => "an empty body",
            Self::Html => "HTML where JSON is due",
            Self::Other => "no JSON object",
        })
    }
}

/// Reads a JSON object.
pub(super) fn object<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, NotAnObject> {
    // A list would pass for the members of an object in their order.
    let is_object = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    let parsed = if is_object { serde_json::from_slice(bytes).ok() } else { None };
    parsed.ok_or_else(|| not_an_object(bytes))
}

/// What bytes that are no JSON object are instead.
pub(super) fn not_an_object(bytes: &[u8]) -> NotAnObject {
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => NotAnObject::Empty,
        Some(b'<') => NotAnObject::Html,
        Some(_) => NotAnObject::Other,
    }
}

impl ResourceMetadata {
    /// Reads a document and finds out whether it is about this server (RFC 9728, section 3.3).
    pub fn parse(bytes: &[u8], server: &Url) -> Result<Self, Misfit> {
        #[derive(Deserialize)]
        struct Document<'a> {
            #[serde(borrow, default)]
            resource: Option<&'a RawValue>,
            #[serde(borrow, default)]
            authorization_servers: Option<&'a RawValue>,
            #[serde(borrow, default)]
            scopes_supported: Option<&'a RawValue>,
        }
        let document: Document<'_> =
            object(bytes).map_err(|what| Misfit::NotMetadata(NotMetadata::NotAnObject(what)))?;
        let Some(resource) = string(document.resource) else {
            return Err(Misfit::NotMetadata(NotMetadata::Lacks("resource")));
        };
        if !locations::covers(&resource, server) {
            return Err(Misfit::Contradiction(Contradiction::Resource(resource)));
        }
        let issuers = strings(document.authorization_servers).unwrap_or_default();
        Ok(Self { resource, issuers, scopes: scopes(document.scopes_supported) })
    }
}

/// Why a document cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Misfit {
    /// It is none; perhaps another place has it.
    NotMetadata(NotMetadata),
    /// It says what must not be believed. There is no other.
    Contradiction(Contradiction),
}

/// What a document is that is no metadata. Its `Display` is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum NotMetadata {
    NotAnObject(NotAnObject),
    /// It lacks this member.
    Lacks(&'static str),
}

impl fmt::Display for NotMetadata {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject(what) => what.fmt(to),
            Self::Lacks(member) => write!(to, "JSON without `{member}`"),
        }
    }
}

/// What metadata says that must not be believed. Its `Display` is for people.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Contradiction {
    /// It is about this resource.
    Resource(String),
    Issuer {
        asked: String,
        named: String,
    },
    Endpoint {
        name: &'static str,
        url: String,
        problem: AddressError,
    },
}

impl fmt::Display for Contradiction {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resource(resource) => write!(
                to,
                "the server's metadata is about another resource ({}): nothing is sent there",
                clean(resource)
            ),
            Self::Issuer { asked, named } => write!(
                to,
                "the metadata of the authorization server {} names another issuer ({}): it cannot be trusted",
                clean(asked),
                clean(named)
            ),
            Self::Endpoint { name, url, problem } => {
                write!(to, "the authorization server's {name} ({}) cannot be used: {problem}", clean(url))
            }
        }
    }
}

impl ServerMetadata {
    /// Reads the document of this issuer. The `issuer` in it must be the same text (RFC 8414, section 3.3), but where the
    /// issuer was only `guessed`: then a slash may be added to it.
    pub fn parse(bytes: &[u8], issuer: &str, guessed: bool, server: &Url) -> Result<Self, Misfit> {
        #[derive(Deserialize)]
        struct Document<'a> {
            #[serde(borrow, default)]
            issuer: Option<&'a RawValue>,
            #[serde(borrow, default)]
            authorization_endpoint: Option<&'a RawValue>,
            #[serde(borrow, default)]
            token_endpoint: Option<&'a RawValue>,
            #[serde(borrow, default)]
            registration_endpoint: Option<&'a RawValue>,
            #[serde(borrow, default)]
            device_authorization_endpoint: Option<&'a RawValue>,
            #[serde(borrow, default)]
            scopes_supported: Option<&'a RawValue>,
            #[serde(borrow, default)]
            token_endpoint_auth_methods_supported: Option<&'a RawValue>,
            #[serde(borrow, default)]
            code_challenge_methods_supported: Option<&'a RawValue>,
            #[serde(borrow, default)]
            authorization_response_iss_parameter_supported: Option<&'a RawValue>,
            #[serde(borrow, default)]
            client_id_metadata_document_supported: Option<&'a RawValue>,
        }
        let document: Document<'_> =
            object(bytes).map_err(|what| Misfit::NotMetadata(NotMetadata::NotAnObject(what)))?;
        let Some(said) = string(document.issuer) else {
            return Err(Misfit::NotMetadata(NotMetadata::Lacks("issuer")));
        };
        // Without an issuer to compare with, the user named the document.
        if !issuer.is_empty() && said != issuer && !(guessed && said.strip_suffix('/') == Some(issuer)) {
            return Err(Misfit::Contradiction(Contradiction::Issuer { asked: issuer.to_owned(), named: said }));
        }
        let endpoint = |name: &'static str, raw: Option<&RawValue>| match string(raw) {
            None => Ok(None),
            Some(url) => locations::allowed(&url, server)
                .map(Some)
                .map_err(|problem| Misfit::Contradiction(Contradiction::Endpoint { name, url, problem })),
        };
        let challenges = strings(document.code_challenge_methods_supported).unwrap_or_default();
        Ok(Self {
            authorization_endpoint: endpoint("authorization_endpoint", document.authorization_endpoint)?,
            token_endpoint: endpoint("token_endpoint", document.token_endpoint)?,
            registration_endpoint: endpoint("registration_endpoint", document.registration_endpoint)?,
            device_endpoint: endpoint("device_authorization_endpoint", document.device_authorization_endpoint)?,
            scopes: scopes(document.scopes_supported),
            auth_methods: strings(document.token_endpoint_auth_methods_supported),
            s256: challenges.iter().any(|method| method == "S256"),
            says_issuer: truth(document.authorization_response_iss_parameter_supported),
            client_id_documents: truth(document.client_id_metadata_document_supported),
            issuer: said,
        })
    }

    /// The endpoints of a server without metadata (MCP 2025-03-26, "Fallbacks for Servers without Metadata Discovery").
    pub fn of_origin(server: &Url) -> Self {
        let issuer = locations::origin(server);
        let endpoint = |path: &str| Url::parse(&format!("{issuer}/{path}")).ok();
        Self {
            authorization_endpoint: endpoint("authorize"),
            token_endpoint: endpoint("token"),
            registration_endpoint: endpoint("register"),
            device_endpoint: None,
            scopes: Vec::new(),
            auth_methods: None,
            s256: true,
            says_issuer: false,
            client_id_documents: false,
            issuer,
        }
    }

    /// How a client shows who it is, by what the server takes: as a public one if it may be one.
    pub fn auth_method(&self, has_secret: bool) -> AuthMethod {
        let takes = |name: &str| self.auth_methods.as_ref().is_some_and(|all| all.iter().any(|method| method == name));
        if !has_secret && (self.auth_methods.is_none() || takes("none")) {
            AuthMethod::None
        } else if takes("client_secret_basic") || self.auth_methods.is_none() {
            AuthMethod::Basic
        } else if takes("client_secret_post") {
            AuthMethod::Post
        } else if has_secret {
            AuthMethod::Basic
        } else {
            AuthMethod::None
        }
    }
}

/// How a client authenticates at the token endpoint (RFC 6749, section 2.3; RFC 7591, section 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub(crate) enum AuthMethod {
    /// It has no secret.
    #[default]
    #[serde(rename = "none")]
    None,
    #[serde(rename = "client_secret_basic")]
    Basic,
    #[serde(rename = "client_secret_post")]
    Post,
}

impl AuthMethod {
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Url {
        Url::parse("https://mcp.example/mcp").unwrap()
    }

    #[test]
    fn resource_metadata_is_about_the_server() {
        let parse = |text: &str| ResourceMetadata::parse(text.as_bytes(), &server());
        let good = parse(
            r#"{"resource":"https://mcp.example/mcp","authorization_servers":["https://a",1],"scopes_supported":["x","y z"]}"#,
        )
        .unwrap();
        assert_eq!((good.issuers, good.scopes), (alloc::vec!["https://a".to_owned()], alloc::vec!["x".to_owned()]));
        for text in ["", "<html>", "[]", "{}", r#"{"resource":7}"#, "null", "{\"resource\":"] {
            assert!(matches!(parse(text), Err(Misfit::NotMetadata(_))), "{text}");
        }
        for resource in ["https://evil.example/mcp", "https://mcp.example/other", "http://mcp.example/mcp"] {
            let text = format!(r#"{{"resource":"{resource}"}}"#);
            assert!(matches!(parse(&text), Err(Misfit::Contradiction(_))), "{text}");
        }
    }

    #[test]
    fn the_issuer_is_the_one_that_was_asked() {
        for (said, asked, guessed, good) in [
            ("https://as", "https://as", false, true),
            ("https://as/", "https://as", false, false),
            ("https://as", "https://as/", false, false),
            ("https://as/", "https://as", true, true),
            ("https://evil", "https://as", true, false),
            ("HTTPS://as", "https://as", false, false),
        ] {
            let text = format!(r#"{{"issuer":"{said}"}}"#);
            let parsed = ServerMetadata::parse(text.as_bytes(), asked, guessed, &server());
            assert_eq!(parsed.is_ok(), good, "{said} {asked}");
        }
    }

    #[test]
    fn an_endpoint_that_may_not_be_used_spoils_the_document() {
        for (name, url, good) in [
            ("token_endpoint", "https://as/token", true),
            ("token_endpoint", "http://as/token", false),
            ("token_endpoint", "https://127.0.0.1/token", false),
            ("authorization_endpoint", "javascript:alert(1)", false),
            ("registration_endpoint", "https://169.254.169.254/", false),
            ("device_authorization_endpoint", "ftp://as/", false),
        ] {
            let text = format!(r#"{{"issuer":"https://as","{name}":"{url}"}}"#);
            let parsed = ServerMetadata::parse(text.as_bytes(), "https://as", false, &server());
            assert_eq!(parsed.is_ok(), good, "{text}");
        }
    }

    #[test]
    fn the_client_is_a_public_one_where_it_may_be() {
        for (methods, has_secret, method) in [
            ("", false, AuthMethod::None),
            ("", true, AuthMethod::Basic),
            (r#""none""#, false, AuthMethod::None),
            (r#""client_secret_basic""#, false, AuthMethod::Basic),
            (r#""client_secret_post""#, false, AuthMethod::Post),
            (r#""client_secret_post","client_secret_basic""#, true, AuthMethod::Basic),
            (r#""client_secret_post","none""#, true, AuthMethod::Post),
            (r#""private_key_jwt""#, false, AuthMethod::None),
        ] {
            let list = if methods.is_empty() {
                String::new()
            } else {
                format!(r#","token_endpoint_auth_methods_supported":[{methods}]"#)
            };
            let text = format!(r#"{{"issuer":"https://as"{list}}}"#);
            let parsed = ServerMetadata::parse(text.as_bytes(), "https://as", false, &server()).unwrap();
            assert_eq!(parsed.auth_method(has_secret), method, "{methods} {has_secret}");
        }
    }
}
