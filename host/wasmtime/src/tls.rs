//! TLS as the system wants it: its certificate authorities, loaded at the first handshake, and those of the program.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, InconsistentKeys, SignatureScheme};
use rustls_platform_verifier::Verifier;

use crate::OpenError;
use crate::http_options::HttpOptions;

/// Sessions that rustls keeps for one server.
const TICKETS: usize = 8;

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(ring::default_provider()));

/// The client's TLS.
pub(crate) struct Setup {
    /// For the client.
    pub config: ClientConfig,
    /// What is known of client certificates.
    pub identity: Arc<Identity>,
}

impl Setup {
    /// What the options ask for.
    pub(crate) fn new(options: &HttpOptions) -> Result<Self, OpenError> {
        let mut extra = Vec::new();
        for pem in &options.ca_certificates {
            extra.extend(certificates(pem, "the CA certificate file")?);
        }
        // Here rather than at the first handshake, where it would look like the server's fault.
        let mut check = rustls::RootCertStore::empty();
        for certificate in &extra {
            check.add(certificate.clone()).map_err(|error| {
                OpenError::InvalidOption(format!("the CA certificate file holds what is no certificate: {error}"))
            })?;
        }
        let identity = Arc::new(Identity::new(options)?);
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
            .with_safe_default_protocol_versions()
            .map_err(|error| OpenError::Component(format!("TLS cannot be set up: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(LazyVerifier { extra, verifier: OnceLock::new() }))
            .with_client_cert_resolver(Arc::clone(&identity) as Arc<dyn ResolvesClientCert>);
        // One client speaks with one server, and through one proxy at most; the default makes room for 32 of them.
        config.resumption = Resumption::in_memory_sessions(2 * TICKETS);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { config, identity })
    }
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, OpenError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err(OpenError::InvalidOption(format!(
            "{what} holds no certificate in PEM; a binary one is turned into PEM by: openssl x509 -inform der"
        ))),
        Ok(all) => Ok(all),
        // What the error repeats of the file may be a key.
        Err(_) => Err(OpenError::InvalidOption(format!("{what} is not valid PEM"))),
    }
}

/// The client's certificate, or that it has none, and whether a server asked for one.
#[derive(Debug)]
pub(crate) struct Identity {
    key: Option<Arc<CertifiedKey>>,
    asked: AtomicBool,
}

impl Identity {
    fn new(options: &HttpOptions) -> Result<Self, OpenError> {
        let key = options.client_certificate.as_ref().map(|(certificate, key)| certified_key(certificate, key));
        Ok(Self { key: key.transpose()?.map(Arc::new), asked: AtomicBool::new(false) })
    }

    /// Whether a server asked for a certificate.
    pub(crate) fn was_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Whether a server asked for a certificate, and there is none.
    pub(crate) fn is_missing(&self) -> bool {
        self.key.is_none() && self.was_asked()
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.key.clone()
    }

    fn has_certs(&self) -> bool {
        self.key.is_some()
    }
}

fn certified_key(certificate: &[u8], key: &[u8]) -> Result<CertifiedKey, OpenError> {
    let chain = certificates(certificate, "the client certificate's file")?;
    let wrong = |problem: &str| OpenError::InvalidOption(problem.to_owned());
    let encrypted = |label: &str| key.windows(label.len()).any(|part| part == label.as_bytes());
    if encrypted("BEGIN ENCRYPTED PRIVATE KEY") || encrypted("Proc-Type: 4,ENCRYPTED") {
        return Err(wrong(
            "the client certificate's key is encrypted, which is not supported; \
             write it unencrypted into a file that only you can read: openssl pkey -in KEY -out PLAINKEY",
        ));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
        wrong("there is no private key in PEM for the client certificate, neither in its own file nor in a key's")
    })?;
    CertifiedKey::from_der(chain, key, &PROVIDER).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            wrong("the private key does not belong to the client certificate")
        }
        error => wrong(&format!("the client certificate's key cannot be used: {error}")),
    })
}

/// The platform's verifier, made when it is needed: reading some hundred certificates would otherwise hold up every start,
/// also of those who speak plain HTTP.
#[derive(Debug)]
struct LazyVerifier {
    extra: Vec<CertificateDer<'static>>,
    verifier: OnceLock<Verifier>,
}

impl LazyVerifier {
    /// A failure is not kept: what is missing may come.
    fn verifier(&self) -> Result<&Verifier, Error> {
        if let Some(verifier) = self.verifier.get() {
            return Ok(verifier);
        }
        let verifier = if self.extra.is_empty() {
            Verifier::new(Arc::clone(&PROVIDER))
        } else {
            Verifier::new_with_extra_roots(self.extra.iter().cloned(), Arc::clone(&PROVIDER))
        };
        let verifier = verifier.map_err(|_| {
            Error::General("there is no certificate authority here; set --ca-cert or SSL_CERT_FILE".to_owned())
        })?;
        Ok(self.verifier.get_or_init(|| verifier))
    }

    /// Whether the user named this very certificate, and it failed for no other reason than that it is an authority's, as
    /// `openssl req -x509` makes them. Its dates were found good before that.
    fn is_pinned(&self, certificate: &CertificateDer<'_>, error: &Error) -> bool {
        let Error::InvalidCertificate(CertificateError::Other(other)) = error else { return false };
        matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
            && self.extra.iter().any(|trusted| trusted == certificate)
    }
}

impl ServerCertVerifier for LazyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.verifier()?.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(error) if self.is_pinned(end_entity, &error) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &PROVIDER.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &PROVIDER.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER.signature_verification_algorithms.supported_schemes()
    }
}
