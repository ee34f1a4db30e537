//! A private certificate authority, what it certifies, and a server that shows it.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

use super::port::Port;
use super::process::Process;
use super::servers::STARTUP;
use super::{poll, scratch_file, tests_folder};

/// A certificate authority of a test's own.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub file: Pem,
}

/// A file in PEM, removed with the value.
#[derive(Debug)]
pub struct Pem(PathBuf);

impl Pem {
    /// Writes one.
    pub fn new(text: &str) -> Self {
        let path = scratch_file("pem");
        std::fs::write(&path, text).expect("the build folder is writable");
        Self(path)
    }

    /// Its path as an argument.
    pub fn path(&self) -> &str {
        self.0.to_str().expect("a plain path")
    }

    /// What it holds.
    pub fn text(&self) -> String {
        std::fs::read_to_string(&self.0).expect("written before")
    }
}

impl Drop for Pem {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A certificate and its key.
#[derive(Debug)]
pub struct Certified {
    /// The certificate.
    pub certificate: Pem,
    /// The private key.
    pub key: Pem,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// A server's.
    Server,
    /// A server's whose time is over.
    Expired,
    /// A server's whose time has not come.
    Future,
    /// A client's.
    Client,
}

fn params(names: &[&str], common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
        .expect("names and addresses");
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2099, 1, 1));
    params
}

impl Authority {
    /// A new one.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = params(&[], name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let file = Pem::new(&params.self_signed(&key).expect("a certificate").pem());
        Self { issuer: Issuer::new(params, key), file }
    }

    /// Certifies a fresh key for these names.
    pub fn certify(&self, names: &[&str], purpose: Purpose) -> Certified {
        let key = KeyPair::generate().expect("a key");
        let mut params = params(names, "a test");
        params.extended_key_usages = vec![match purpose {
            Purpose::Client => ExtendedKeyUsagePurpose::ClientAuth,
            _ => ExtendedKeyUsagePurpose::ServerAuth,
        }];
        match purpose {
            Purpose::Expired => params.not_after = date_time_ymd(2021, 2, 3),
            Purpose::Future => params.not_before = date_time_ymd(2098, 7, 6),
            _ => {}
        }
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Certified { certificate: Pem::new(&certificate.pem()), key: Pem::new(&key.serialize_pem()) }
    }
}

/// A certificate that a server signs itself, in the way of `openssl req -x509`: it is an authority's.
pub fn self_signed(names: &[&str]) -> Certified {
    let key = KeyPair::generate().expect("a key");
    let mut params = params(names, "alone");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).expect("a certificate");
    Certified { certificate: Pem::new(&certificate.pem()), key: Pem::new(&key.serialize_pem()) }
}

/// A TLS server in a process of its own (Node.js and its OpenSSL) before a server that speaks none.
pub struct Front {
    port: Port,
    target: u16,
    variables: Vec<(String, String)>,
    process: Option<Process>,
    lines: String,
}

impl Front {
    /// Starts one that shows this certificate, before the server at this port.
    pub fn start(certified: &Certified, target: u16, variables: &[(&str, &str)]) -> Self {
        let mut all = vec![
            ("CERT".to_owned(), certified.certificate.path().to_owned()),
            ("KEY".to_owned(), certified.key.path().to_owned()),
        ];
        all.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let mut front = Self { port: Port::reserve(), target, variables: all, process: None, lines: String::new() };
        front.up();
        front
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// `kill -9`.
    pub fn down(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill();
        self.lines.push_str(&process.stdout.text());
    }

    /// Starts it (again), and waits until it accepts connections.
    pub fn up(&mut self) {
        let port = self.port.number();
        let mut command = Command::new("node");
        command.arg(tests_folder().join("servers/node/tls-front.mjs"));
        command.env("PORT", port.to_string()).env("TARGET", self.target.to_string());
        command.envs(self.variables.iter().cloned());
        let host = self.variables.iter().find(|(name, _)| name == "HOST");
        let host = host.map_or("127.0.0.1", |(_, host)| host.as_str()).to_owned();
        let process = self.process.insert(Process::start(&mut command));
        poll(&format!("the TLS server accepts connections on its port {port}"), STARTUP, || {
            assert!(process.exited().is_none(), "it ended at its start:\n{}", process.stderr.text());
            TcpStream::connect((host.as_str(), port)).ok()
        });
    }

    /// A line for each request so far: HTTP version, method, path, and the value of `x-test`.
    pub fn requests(&self) -> Vec<String> {
        let now = self.process.as_ref().map_or_else(String::new, |process| process.stdout.text());
        format!("{}{now}", self.lines).lines().map(str::to_owned).collect()
    }
}

/// A folder for `SSL_CERT_DIR`, removed with the value.
pub struct CertificateFolder(PathBuf);

impl CertificateFolder {
    /// Puts the file into it, under a name as OpenSSL's `c_rehash` gives.
    pub fn with(file: &Pem) -> Self {
        let folder = scratch_file("certificates");
        std::fs::create_dir(&folder).expect("the build folder is writable");
        std::fs::copy(file.path(), folder.join("0a1b2c3d.0")).expect("the build folder is writable");
        Self(folder)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for CertificateFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
