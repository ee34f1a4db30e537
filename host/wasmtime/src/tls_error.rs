//! Why a TLS handshake failed, in words by which a person can mend it.

use std::fmt::Write as _;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// The most names of a certificate that are shown.
const NAMES: usize = 5;

/// Why the handshake failed. `no_identity`: the server asked for a client certificate, and there is none.
pub(crate) fn explain(error: &Error, no_identity: bool) -> String {
    match error {
        Error::AlertReceived(alert) => received(*alert, no_identity),
        Error::InvalidCertificate(reason) => format!("the server's certificate {}", certificate(reason)),
        // What is no TLS begins with some other byte.
        Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
            "the server does not speak TLS at this port; perhaps its URL begins with http://".to_owned()
        }
        Error::PeerIncompatible(_) => format!("the server offers no TLS that is safe: {error}"),
        Error::General(text) => text.clone(),
        _ => error.to_string(),
    }
}

/// Whether this alert can only mean that the server did not accept what the client is, and therefore read no request.
/// In TLS 1.3 it comes after the client has finished its part of the handshake (RFC 8446 § 4.4.2.4 and 6.2).
pub(crate) fn is_about_identity(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::AccessDenied
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::NoCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate
    )
}

fn received(alert: AlertDescription, no_identity: bool) -> String {
    let may_mean_it = is_about_identity(alert) || alert == AlertDescription::HandshakeFailure;
    if alert == AlertDescription::CertificateRequired || (no_identity && may_mean_it) {
        return "the server demands a client certificate; give one with --client-cert".to_owned();
    }
    if is_about_identity(alert) {
        return format!("the server does not accept the client certificate ({alert:?}); check --client-cert");
    }
    match alert {
        AlertDescription::UnrecognisedName => "the server knows no host of the URL's name".to_owned(),
        AlertDescription::ProtocolVersion => "the server speaks TLS older than 1.2 only".to_owned(),
        _ => format!("the server refused the handshake: {alert:?}"),
    }
}

fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::ExpiredContext { not_after, .. } => format!("expired at {}", time(*not_after)),
        CertificateError::Expired => "has expired".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("is not valid before {}; is this machine's clock right?", time(*not_before))
        }
        CertificateError::NotValidYet => "is not valid yet; is this machine's clock right?".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            format!("is not for {} but for {}", expected.to_str(), names(presented))
        }
        CertificateError::NotValidForName => "is for another name than the URL's".to_owned(),
        CertificateError::UnknownIssuer => {
            "has an issuer that is not trusted here; if it is yours, give its certificate with --ca-cert".to_owned()
        }
        CertificateError::Revoked => "has been revoked".to_owned(),
        CertificateError::Other(other) if matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity)) => {
            "is its own authority; if it is yours, give this certificate with --ca-cert".to_owned()
        }
        other => format!("was not accepted: {other}"),
    }
}

/// The names in a certificate, which come as `DnsName("jarvis.internal")`.
fn names(presented: &[String]) -> String {
    let mut text = String::new();
    for name in presented.iter().take(NAMES) {
        let inside = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
        let _ = write!(text, "{}{}", if text.is_empty() { "" } else { ", " }, inside.trim_matches('"'));
    }
    match presented.len() {
        0 => "no name at all".to_owned(),
        1..=NAMES => text,
        more => format!("{text} and {} more", more - NAMES),
    }
}

/// A point in time to the minute, in UTC.
fn time(at: UnixTime) -> String {
    let minutes = at.as_secs() / 60;
    let (day, minute) = (minutes / (24 * 60), minutes % (24 * 60));
    // The Gregorian calendar in years that begin in March, so that the leap day is the last of its year.
    let day = day + 719_468;
    let (era, day_of_era) = (day / 146_097, day % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", minute / 60, minute % 60)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn points_in_time() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (951_868_799, "2000-02-29 23:59 UTC"),
            (1_735_689_599, "2024-12-31 23:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ] {
            assert_eq!(time(UnixTime::since_unix_epoch(Duration::from_secs(seconds))), expected);
        }
    }

    #[test]
    fn names_are_few_and_plain() {
        let presented: Vec<String> = (0..7).map(|n| format!("DnsName(\"h{n}\")")).collect();
        assert_eq!(names(&presented), "h0, h1, h2, h3, h4 and 2 more");
        assert_eq!(names(&["IpAddress(127.0.0.1)".to_owned()]), "127.0.0.1");
        assert_eq!(names(&[]), "no name at all");
    }

    #[test]
    fn an_alert_for_want_of_a_certificate() {
        let demanded = "the server demands a client certificate; give one with --client-cert";
        assert_eq!(explain(&Error::AlertReceived(AlertDescription::CertificateRequired), false), demanded);
        // TLS 1.2 has no alert of its own for it.
        assert_eq!(explain(&Error::AlertReceived(AlertDescription::HandshakeFailure), true), demanded);
        let other = explain(&Error::AlertReceived(AlertDescription::HandshakeFailure), false);
        assert!(!other.contains("certificate"), "{other}");
    }
}
