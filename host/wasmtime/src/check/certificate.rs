//! TLS, and what the server's certificate says.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mcp_reconnect::HttpOptions;
use mcp_reconnect::probe::{TlsFacts, tls_facts};
use mcp_reconnect_core::diagnosis::check::Tls;
use x509_cert::Certificate;
use x509_cert::der::Decode;

const DAY: i64 = 86400;

/// Looks at the server's TLS, where there is any.
pub async fn look(http: &HttpOptions, url: &str, limit: Duration) -> Result<Option<Tls>, String> {
    tls_facts(http, url, limit).await.map(|facts| facts.map(read))
}

fn read(facts: TlsFacts) -> Tls {
    let certificate = Certificate::from_der(&facts.certificate).ok();
    let certificate = certificate.as_ref().map(Certificate::tbs_certificate);
    let end = certificate.map(|certificate| certificate.validity().not_after.to_unix_duration());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    Tls {
        version: facts.version,
        alpn: facts.alpn,
        cipher_suite: facts.cipher_suite,
        subject: certificate.map(|certificate| certificate.subject().to_string()),
        issuer: certificate.map(|certificate| certificate.issuer().to_string()),
        not_after: certificate.map(|certificate| certificate.validity().not_after.to_date_time().to_string()),
        days_left: end.map(|end| (seconds(end) - seconds(now)).div_euclid(DAY)),
    }
}
