//! What is kept between two runs: one record for each credential, as JSON text. A host keeps the text and does not look into
//! it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::answer::TokenAnswer;
use super::metadata::AuthMethod;
use super::secret::Secret;

/// The version of the form. A record of a later one is left alone.
const SCHEMA: u32 = 1;

/// Tokens that live for less than this are refreshed at half their life.
const SHORT_LIFE: u64 = 120;
/// Others are refreshed this long before they end.
const MARGIN: u64 = 60;

/// Everything that is known of one credential.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    pub schema: u32,
    /// The MCP server, for people.
    pub server: String,
    /// The authorization server. Client and tokens are its, and nobody else's (MCP, "Authorization Server Binding").
    pub issuer: String,
    /// The `resource` that the tokens are for (RFC 8707); empty: none was named.
    pub resource: String,
    /// Where refresh tokens go, and nowhere else.
    pub token_endpoint: String,
    pub client: Option<Client>,
    pub tokens: Option<Tokens>,
    /// What the server asked for with its last challenge.
    pub wanted: Wanted,
    /// The sign-in that is under way, or how the last one failed.
    pub sign_in: Option<SignIn>,
    /// When a browser was last opened without a person's command, in seconds since 1970.
    pub opened_at: u64,
}

/// Why a stored text cannot be used. Its `Display` is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RecordError {
    /// It was written in this form, by a newer version.
    Newer(u32),
    Damaged,
}

impl fmt::Display for RecordError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newer(schema) => write!(to, "it was written by a newer version (schema {schema})"),
            Self::Damaged => to.write_str("it is damaged"),
        }
    }
}

/// The client as the authorization server knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Client {
    pub id: String,
    #[serde(default)]
    pub secret: Option<Secret>,
    #[serde(default)]
    pub auth: AuthMethod,
    /// Whether it registered itself (RFC 7591): then it is good for refreshing, and each sign-in registers anew.
    #[serde(default)]
    pub registered: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Tokens {
    pub access: Secret,
    #[serde(default)]
    pub refresh: Option<Secret>,
    /// In seconds since 1970, by the clock of this machine.
    pub obtained_at: u64,
    #[serde(default)]
    pub expires_in: Option<u64>,
    #[serde(default)]
    pub scopes: Vec<String>,
    #[serde(default)]
    pub who: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Wanted {
    /// `resource_metadata` of the challenge.
    pub resource_metadata: Option<String>,
    /// The scopes to ask for; empty: nothing was said.
    pub scopes: Vec<String>,
    /// Whether they are more than the token had, though it is good otherwise.
    pub step_up: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct SignIn {
    /// What to open in a browser; empty once it has failed.
    pub url: String,
    /// The code to enter there (RFC 8628).
    #[serde(default)]
    pub code: Option<String>,
    /// In seconds since 1970.
    pub at: u64,
    /// Why it failed.
    #[serde(default)]
    pub failed: Option<String>,
}

/// What a token is good for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    Fresh,
    /// It still holds, and should be replaced.
    Ending,
    Over,
}

impl Tokens {
    pub fn new(answer: TokenAnswer, asked: &[String], old_refresh: Option<Secret>, wall: u64) -> Self {
        Self {
            access: answer.access,
            // RFC 6749, section 6: without a new one the old one goes on.
            refresh: answer.refresh.or(old_refresh),
            obtained_at: wall,
            expires_in: answer.expires_in,
            // RFC 6749, section 5.1: unless it says so, what was asked for.
            scopes: answer.scopes.unwrap_or_else(|| asked.to_vec()),
            who: answer.who,
        }
    }

    /// The end by the clock of this machine; none where it is not known.
    pub fn expires_at(&self) -> Option<u64> {
        Some(self.obtained_at.saturating_add(self.expires_in?))
    }

    /// When to replace it, if that is known.
    pub fn refresh_at(&self) -> Option<u64> {
        let life = self.expires_in?;
        let after = if life < SHORT_LIFE { life / 2 } else { life - MARGIN };
        Some(self.obtained_at.saturating_add(after))
    }

    /// A clock that was set back since says nothing: then the server's 401 tells.
    pub fn freshness(&self, wall: u64) -> Freshness {
        if wall < self.obtained_at {
            return Freshness::Fresh;
        }
        if self.expires_at().is_some_and(|at| wall >= at) {
            Freshness::Over
        } else if self.refresh_at().is_some_and(|at| wall >= at) {
            Freshness::Ending
        } else {
            Freshness::Fresh
        }
    }
}

impl Record {
    /// Reads a stored text. No text is an empty record.
    pub fn parse(text: Option<&str>) -> Result<Self, RecordError> {
        let Some(text) = text else { return Ok(Self::default()) };
        match serde_json::from_str::<Self>(text) {
            Ok(record) if record.schema == SCHEMA => Ok(record),
            Ok(record) if record.schema > SCHEMA => Err(RecordError::Newer(record.schema)),
            _ => Err(RecordError::Damaged),
        }
    }

    /// Whether the text is of a later version of this program, which must not be overwritten.
    pub fn is_newer(text: Option<&str>) -> bool {
        #[derive(Deserialize)]
        struct Schema {
            schema: u32,
        }
        text.and_then(|text| serde_json::from_str::<Schema>(text).ok()).is_some_and(|found| found.schema > SCHEMA)
    }

    /// The text to store.
    pub fn to_text(&self) -> Secret {
        let record = Self { schema: SCHEMA, ..self.clone() };
        Secret(serde_json::to_string(&record).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn tokens(obtained_at: u64, expires_in: Option<u64>) -> Tokens {
        Tokens { access: "a".into(), refresh: None, obtained_at, expires_in, scopes: Vec::new(), who: None }
    }

    #[test]
    fn a_token_is_replaced_before_it_ends() {
        use Freshness::{Ending, Fresh, Over};
        for (life, age, freshness) in [
            (None, 1 << 40, Fresh),
            (Some(3600), 0, Fresh),
            (Some(3600), 3539, Fresh),
            (Some(3600), 3540, Ending),
            (Some(3600), 3600, Over),
            (Some(100), 49, Fresh),
            (Some(100), 50, Ending),
            (Some(2), 1, Ending),
            (Some(2), 2, Over),
            (Some(0), 0, Over),
            (Some(u64::MAX), 1 << 40, Fresh),
        ] {
            assert_eq!(tokens(1000, life).freshness(1000 + age), freshness, "{life:?} {age}");
        }
    }

    /// A clock that is off by an hour, either way.
    #[test]
    fn a_clock_that_was_set() {
        assert_eq!(tokens(10_000, Some(3600)).freshness(10_000 - 3600), Freshness::Fresh);
        assert_eq!(tokens(10_000, Some(3600)).freshness(10_000 + 3600), Freshness::Over);
    }

    #[test]
    fn the_text_is_read_again() {
        let record = Record { issuer: "https://as".into(), tokens: Some(tokens(1, Some(2))), ..Record::default() };
        let text = record.to_text();
        assert_eq!(Record::parse(Some(&text.0)), Ok(Record { schema: 1, ..record }));
        assert_eq!(Record::parse(None), Ok(Record::default()));
        assert!(Record::parse(Some("{")).is_err() && Record::parse(Some("{}")).is_err());
        assert!(Record::parse(Some(r#"{"schema":2}"#)).unwrap_err().to_string().contains("newer"));
        assert!(Record::parse(Some(r#"{"schema":0}"#)).unwrap_err().to_string().contains("damaged"));
        assert!(Record::is_newer(Some(r#"{"schema":2,"x":1}"#)) && !Record::is_newer(Some("{}")));
    }
}
