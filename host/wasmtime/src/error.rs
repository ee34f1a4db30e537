//! Why a call on a connection failed.

use std::error::Error;
use std::fmt;

/// Why a connection could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL is not an absolute `http` or `https` URL without user info: what is wrong with it.
    InvalidUrl(String),
    /// A header's name or value is not allowed: which, and why. The value is not repeated.
    InvalidHeader(String),
    /// Another option is not allowed: which, and why.
    InvalidOption(String),
    /// The component did not start, a defect of this library or of the machine: what happened.
    Component(String),
}

impl fmt::Display for OpenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidUrl(text) => write!(formatter, "invalid URL: {text}"),
            Self::InvalidHeader(text) => write!(formatter, "invalid header: {text}"),
            Self::InvalidOption(text) => write!(formatter, "invalid option: {text}"),
            Self::Component(text) => write!(formatter, "the transport component did not start: {text}"),
        }
    }
}

impl Error for OpenError {}

/// Why a connection did not take a message or an order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The connection is closing or closed, or its [`crate::Receiver`] is gone.
    Closed,
}

impl fmt::Display for SendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => formatter.write_str("the connection is closed"),
        }
    }
}

impl Error for SendError {}

/// Why [`crate::Sender::set_headers`] left the old headers in place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetHeadersError {
    /// A header's name or value is not allowed: which, and why. The value is not repeated.
    InvalidHeader(String),
    /// The connection takes no orders any more.
    Closed(SendError),
}

impl fmt::Display for SetHeadersError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidHeader(text) => write!(formatter, "invalid header: {text}"),
            Self::Closed(error) => error.fmt(formatter),
        }
    }
}

impl Error for SetHeadersError {}

impl From<SendError> for SetHeadersError {
    fn from(error: SendError) -> Self {
        Self::Closed(error)
    }
}
