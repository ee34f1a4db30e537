//! Answers of the token, registration and device endpoints (RFC 6749 section 5, RFC 7591 section 3.2, RFC 8628 section 3.2).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::locations::AddressError;
use super::metadata::{AuthMethod, NotAnObject, not_an_object, object};
use super::pkce;
use super::scope;
use super::secret::Secret;
use super::text::clean;

/// The longest token or secret that is taken, in bytes: what fits into a header that servers take.
const MAX_TOKEN: usize = 32 << 10;
/// The longest client id, in bytes.
const MAX_CLIENT_ID: usize = 4096;

/// Why an answer cannot be used: what it is. Its `Display` is for people.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum AnswerError {
    NotAnObject(NotAnObject),
    /// It lacks this.
    Lacks(&'static str),
    /// It is a token of a type that is not understood.
    TokenType(String),
    /// It sends a person where nobody is to be sent.
    Address(AddressError),
}

impl fmt::Display for AnswerError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject(what) => what.fmt(to),
            Self::Lacks(what) => write!(to, "an answer without {what}"),
            Self::TokenType(kind) => {
                write!(to, "a token of the type {}, where `bearer` is the one in use", clean(kind))
            }
            Self::Address(problem) => write!(to, "an address that is not opened: {problem}"),
        }
    }
}

/// A token answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TokenAnswer {
    pub access: Secret,
    pub refresh: Option<Secret>,
    /// In seconds. None: not said, or 0, which cannot be meant.
    pub expires_in: Option<u64>,
    /// None: as asked for.
    pub scopes: Option<Vec<String>>,
    /// Who signed in, as the server names them. Not verified: it is shown, and nothing depends on it.
    pub who: Option<String>,
}

/// An error answer (RFC 6749, section 5.2), or why an answer is none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Refused {
    /// `error`, or empty.
    pub code: String,
    /// For people; cleaned.
    pub text: String,
}

fn number(raw: Option<&RawValue>) -> Option<u64> {
    let text = raw?.get().trim_matches('"');
    let whole = text.split('.').next()?;
    let valid = !whole.is_empty() && whole.bytes().all(|byte| byte.is_ascii_digit());
    valid.then(|| whole.parse().unwrap_or(u64::MAX))
}

fn string(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(raw?.get()).ok()
}

fn is_token(text: &str) -> bool {
    (1..=MAX_TOKEN).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'!'..=b'~'))
}

impl TokenAnswer {
    /// Reads the body of a 200.
    pub fn parse(bytes: &[u8]) -> Result<Self, AnswerError> {
        #[derive(Deserialize)]
        struct Body<'a> {
            #[serde(borrow, default)]
            access_token: Option<&'a RawValue>,
            #[serde(borrow, default)]
            token_type: Option<&'a RawValue>,
            #[serde(borrow, default)]
            expires_in: Option<&'a RawValue>,
            #[serde(borrow, default)]
            refresh_token: Option<&'a RawValue>,
            #[serde(borrow, default)]
            scope: Option<&'a RawValue>,
            #[serde(borrow, default)]
            id_token: Option<&'a RawValue>,
        }
        let body: Body<'_> = object(bytes).map_err(AnswerError::NotAnObject)?;
        let Some(access) = string(body.access_token).filter(|token| is_token(token)) else {
            return Err(AnswerError::Lacks("a usable `access_token`"));
        };
        // RFC 6749, section 7.1: a client must not use a type that it does not understand.
        match string(body.token_type) {
            Some(kind) if kind.eq_ignore_ascii_case("bearer") => {}
            Some(kind) => {
                return Err(AnswerError::TokenType(kind));
            }
            None => return Err(AnswerError::Lacks("`token_type`")),
        }
        let who = string(body.id_token).and_then(|token| subject(&token)).or_else(|| subject(&access));
        Ok(Self {
            refresh: string(body.refresh_token).filter(|token| is_token(token)).map(Secret),
            expires_in: number(body.expires_in).filter(|seconds| *seconds > 0),
            scopes: string(body.scope).map(|text| scope::split(&text)),
            access: Secret(access),
            who,
        })
    }
}

/// Whom a JSON Web Token names.
fn subject(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Claims<'a> {
        #[serde(borrow, default)]
        email: Option<&'a RawValue>,
        #[serde(borrow, default)]
        preferred_username: Option<&'a RawValue>,
        #[serde(borrow, default)]
        name: Option<&'a RawValue>,
        #[serde(borrow, default)]
        sub: Option<&'a RawValue>,
    }
    let mut parts = token.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes = pkce::decode(claims)?;
    let claims: Claims<'_> = serde_json::from_slice(&bytes).ok()?;
    [claims.email, claims.preferred_username, claims.name, claims.sub]
        .into_iter()
        .find_map(string)
        .map(|who| clean(&who))
}

impl Refused {
    /// Reads the body of an answer that is not 200.
    pub fn parse(status: u16, bytes: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Body<'a> {
            #[serde(borrow, default)]
            error: Option<&'a RawValue>,
            #[serde(borrow, default)]
            error_description: Option<&'a RawValue>,
        }
        let body: Option<Body<'_>> = object(bytes).ok();
        let code = body.as_ref().and_then(|body| string(body.error)).unwrap_or_default();
        let said = body.as_ref().and_then(|body| string(body.error_description)).map(|text| clean(&text));
        let text = match (code.as_str(), said) {
            ("", _) => match body {
                Some(_) => format!("HTTP {status} with no `error`"),
                None => format!("HTTP {status} with {}", not_an_object(bytes)),
            },
            (code, None) => clean(code),
            (code, Some(said)) => format!("{}: {said}", clean(code)),
        };
        Self { code, text }
    }

    /// Whether the server does not know this client (any more).
    pub fn is_client_unknown(&self) -> bool {
        matches!(self.code.as_str(), "invalid_client" | "unauthorized_client")
    }
}

/// A registered client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Registered {
    pub id: String,
    pub secret: Option<Secret>,
    pub method: Option<AuthMethod>,
}

impl Registered {
    /// Reads the body of a 200 or 201.
    pub fn parse(bytes: &[u8]) -> Result<Self, AnswerError> {
        #[derive(Deserialize)]
        struct Body<'a> {
            #[serde(borrow, default)]
            client_id: Option<&'a RawValue>,
            #[serde(borrow, default)]
            client_secret: Option<&'a RawValue>,
            #[serde(borrow, default)]
            token_endpoint_auth_method: Option<&'a RawValue>,
        }
        let body: Body<'_> = object(bytes).map_err(AnswerError::NotAnObject)?;
        let usable =
            |id: &String| (1..=MAX_CLIENT_ID).contains(&id.len()) && !id.chars().any(crate::text::is_invisible);
        let Some(id) = string(body.client_id).filter(usable) else {
            return Err(AnswerError::Lacks("a usable `client_id`"));
        };
        let secret = string(body.client_secret).filter(|secret| (1..=MAX_TOKEN).contains(&secret.len())).map(Secret);
        let method = body.token_endpoint_auth_method.and_then(|raw| serde_json::from_str(raw.get()).ok());
        Ok(Self { id, secret, method })
    }
}

/// A device authorization.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DeviceAnswer {
    pub device_code: Secret,
    pub user_code: String,
    pub uri: String,
    pub complete: Option<String>,
    /// In seconds.
    pub expires_in: u64,
    /// In seconds.
    pub interval: u64,
}

impl DeviceAnswer {
    /// Reads the body of a 200.
    pub fn parse(bytes: &[u8]) -> Result<Self, AnswerError> {
        #[derive(Deserialize)]
        struct Body<'a> {
            #[serde(borrow, default)]
            device_code: Option<&'a RawValue>,
            #[serde(borrow, default)]
            user_code: Option<&'a RawValue>,
            #[serde(borrow, default)]
            verification_uri: Option<&'a RawValue>,
            #[serde(borrow, default)]
            verification_uri_complete: Option<&'a RawValue>,
            #[serde(borrow, default)]
            expires_in: Option<&'a RawValue>,
            #[serde(borrow, default)]
            interval: Option<&'a RawValue>,
        }
        let body: Body<'_> = object(bytes).map_err(AnswerError::NotAnObject)?;
        let code = string(body.device_code).filter(|code| is_token(code));
        let (Some(code), Some(user), Some(uri)) = (code, string(body.user_code), string(body.verification_uri)) else {
            return Err(AnswerError::Lacks("`device_code`, `user_code` or `verification_uri`"));
        };
        Ok(Self {
            device_code: Secret(code),
            user_code: clean(&user),
            uri,
            complete: string(body.verification_uri_complete),
            expires_in: number(body.expires_in).unwrap_or(600).clamp(1, 3600),
            // RFC 8628, section 3.2: 5 where nothing is said.
            interval: number(body.interval).unwrap_or(5).clamp(1, 60),
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn token(body: &str) -> Result<TokenAnswer, AnswerError> {
        TokenAnswer::parse(body.as_bytes())
    }

    #[test]
    fn lifetimes() {
        for (expires, seconds) in [
            ("", None),
            (r#","expires_in":3600"#, Some(3600)),
            (r#","expires_in":"3600""#, Some(3600)),
            (r#","expires_in":3599.5"#, Some(3599)),
            (r#","expires_in":0"#, None),
            (r#","expires_in":-5"#, None),
            (r#","expires_in":null"#, None),
            (r#","expires_in":315360000"#, Some(315_360_000)),
            (r#","expires_in":99999999999999999999999"#, Some(u64::MAX)),
        ] {
            let answer = token(&format!(r#"{{"access_token":"t","token_type":"BEARER"{expires}}}"#)).unwrap();
            assert_eq!(answer.expires_in, seconds, "{expires}");
        }
    }

    #[test]
    fn what_is_no_token_answer_is_named() {
        for (body, named) in [
            ("", "empty"),
            ("<html>", "HTML"),
            ("[]", "no JSON object"),
            ("{}", "access_token"),
            (r#"{"access_token":"t"}"#, "token_type"),
            (r#"{"access_token":"t","token_type":"DPoP\u001b"}"#, "DPoP\u{FFFD}"),
            (r#"{"access_token":"a b","token_type":"bearer"}"#, "access_token"),
            (r#"{"access_token":"a\r\nX: y","token_type":"bearer"}"#, "access_token"),
            (r#"{"access_token":"","token_type":"bearer"}"#, "access_token"),
        ] {
            let problem = token(body).unwrap_err().to_string();
            assert!(problem.contains(named), "{body}: {problem}");
        }
        assert!(token(&format!(r#"{{"access_token":"{}","token_type":"bearer"}}"#, "x".repeat(40_000))).is_err());
    }

    #[test]
    fn errors() {
        for (status, body, code, text) in [
            (400, r#"{"error":"invalid_grant"}"#, "invalid_grant", "invalid_grant"),
            (401, r#"{"error":"invalid_client","error_description":"a\u001b[2J"}"#, "invalid_client", "a\u{FFFD}[2J"),
            (502, "<html>", "", "HTTP 502 with HTML where JSON is due"),
            (400, "{}", "", "HTTP 400 with no `error`"),
            (400, r#"{"error":{}}"#, "", "HTTP 400"),
        ] {
            let refused = Refused::parse(status, body.as_bytes());
            assert_eq!(refused.code, code);
            assert!(refused.text.contains(text), "{}", refused.text);
        }
    }

    #[test]
    fn who_signed_in() {
        let part = |json: &str| {
            use base64::Engine;
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json)
        };
        let id = format!("{}.{}.x", part("{}"), part(r#"{"sub":"7","email":"a@b"}"#));
        let body = format!(r#"{{"access_token":"t","token_type":"bearer","id_token":"{id}"}}"#);
        assert_eq!(token(&body).unwrap().who.as_deref(), Some("a@b"));
        let body = format!(r#"{{"access_token":"{}.{}.x","token_type":"bearer"}}"#, part("{}"), part(r#"{"sub":"7"}"#));
        assert_eq!(token(&body).unwrap().who.as_deref(), Some("7"));
        assert_eq!(token(r#"{"access_token":"a.b.c","token_type":"bearer"}"#).unwrap().who, None);
    }

    #[test]
    fn device_answers() {
        let answer =
            DeviceAnswer::parse(br#"{"device_code":"d","user_code":"U\u0007","verification_uri":"https://as/d"}"#)
                .unwrap();
        assert_eq!((answer.interval, answer.expires_in, answer.user_code.as_str()), (5, 600, "U\u{FFFD}"));
        assert!(DeviceAnswer::parse(br#"{"device_code":"d"}"#).is_err());
    }
}
