//! Bodies that come compressed, which some proxies do unasked (RFC 9110, section 8.4). What another coding has done stays as it is.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder};
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::poll_fn;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap};
use tokio::io::AsyncRead;
use tokio_util::io::{ReaderStream, StreamReader};

use crate::http::AnswerBody;

/// What is decoded at once, in bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// A body, decoded where that was needed.
pub(crate) enum Decoded {
    Plain(AnswerBody),
    Coded(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>),
}

impl Decoded {
    /// Decodes a body by what its headers say, and removes these.
    pub(crate) fn new(headers: &mut HeaderMap, body: AnswerBody) -> Self {
        let Some(coding) = headers.get(CONTENT_ENCODING) else { return Self::Plain(body) };
        let is = |name: &str| coding.as_bytes().eq_ignore_ascii_case(name.as_bytes());
        let decoded = if is("gzip") || is("x-gzip") {
            let mut decoder = GzipDecoder::new(reader(body));
            decoder.multiple_members(true);
            pieces(decoder)
        } else if is("deflate") {
            pieces(ZlibDecoder::new(reader(body)))
        } else if is("br") {
            pieces(BrotliDecoder::new(reader(body)))
        } else {
            return Self::Plain(body);
        };
        headers.remove(CONTENT_ENCODING);
        headers.remove(CONTENT_LENGTH);
        decoded
    }

    /// Its next bytes; none at its end.
    pub(crate) fn poll_bytes(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Box<dyn Error + Send + Sync>>>> {
        match self {
            Self::Plain(body) => body.poll_bytes(context).map_err(Into::into),
            Self::Coded(pieces) => pieces.as_mut().poll_next(context).map_err(Into::into),
        }
    }
}

impl fmt::Debug for Decoded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Decoded").finish_non_exhaustive()
    }
}

fn reader(mut body: AnswerBody) -> impl tokio::io::AsyncBufRead + Send + 'static {
    StreamReader::new(poll_fn(move |context| body.poll_bytes(context).map_err(io::Error::other)))
}

fn pieces(decoder: impl AsyncRead + Send + 'static) -> Decoded {
    Decoded::Coded(Box::pin(ReaderStream::with_capacity(decoder, PIECE_BYTES)))
}
