//! The options for TLS, proxies and names, as curl has them.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use mcp_reconnect::{HttpOptions, OpenError};

use crate::cli::expand::{VarError, expand};

/// No file of certificates or keys is larger.
const MAX_FILE_BYTES: u64 = 16 << 20;

const HEADING: &str = "TLS and proxies";

/// The arguments about the way to the server.
#[derive(Args)]
pub struct NetArgs {
    /// Trust the certificates in this PEM file too
    #[arg(long = "ca-cert", value_name = "FILE", help_heading = HEADING, hide_short_help = true)]
    ca_certs: Vec<PathBuf>,
    /// Show this certificate to the server (PEM)
    #[arg(long, value_name = "FILE", help_heading = HEADING, hide_short_help = true)]
    client_cert: Option<PathBuf>,
    /// Its private key, if it is not in the same file
    #[arg(long, value_name = "FILE", help_heading = HEADING, hide_short_help = true)]
    client_key: Option<PathBuf>,
    /// Use this proxy; ${VAR} is expanded, '' is none
    #[arg(long, value_name = "URL", help_heading = HEADING, hide_short_help = true)]
    proxy: Option<String>,
    /// No proxy for these, comma-separated, or '*'
    #[arg(long, value_name = "HOSTS", help_heading = HEADING, hide_short_help = true)]
    no_proxy: Option<String>,
    /// HOST:PORT:ADDRESS[,ADDRESS] in place of a name lookup
    #[arg(long, value_name = "ENTRY", help_heading = HEADING, hide_short_help = true)]
    resolve: Vec<String>,
}

impl std::fmt::Debug for NetArgs {
    /// Leaves out the proxy's URL, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NetArgs").field("ca_certs", &self.ca_certs).finish_non_exhaustive()
    }
}

impl NetArgs {
    /// The same options for another process. The proxy's `${VAR}` is not expanded; a password that stands in the command line
    /// is in the process list already.
    pub fn to_arguments(&self) -> Vec<OsString> {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone()).into_os_string();
        let mut all: Vec<(&str, OsString)> = Vec::new();
        all.extend(self.ca_certs.iter().map(|path| ("--ca-cert", absolute(path))));
        all.extend(self.client_cert.iter().map(|path| ("--client-cert", absolute(path))));
        all.extend(self.client_key.iter().map(|path| ("--client-key", absolute(path))));
        all.extend(self.proxy.iter().map(|url| ("--proxy", url.into())));
        all.extend(self.no_proxy.iter().map(|hosts| ("--no-proxy", hosts.into())));
        all.extend(self.resolve.iter().map(|entry| ("--resolve", entry.into())));
        all.into_iter().flat_map(|(name, value)| [name.into(), value]).collect()
    }

    /// The library's options; what is not given keeps its default. An error says what is wrong and how to mend it, and
    /// holds no secret.
    pub fn options(&self, lookup: impl Fn(&str) -> Result<String, VarError>) -> Result<HttpOptions, String> {
        let mut options = HttpOptions::default();
        for path in &self.ca_certs {
            let pem = read("--ca-cert", path)?;
            check("--ca-cert", path, &HttpOptions::default().ca_certificates(pem.clone()))?;
            options = options.ca_certificates(pem);
        }
        match (&self.client_cert, &self.client_key) {
            (Some(certificate), key) => {
                let pem = read("--client-cert", certificate)?;
                let key = key.as_ref().map_or_else(|| Ok(pem.clone()), |path| read("--client-key", path))?;
                let both = HttpOptions::default().client_certificate(pem.clone(), key.clone());
                check("--client-cert", certificate, &both)?;
                options = options.client_certificate(pem, key);
            }
            (None, Some(_)) => {
                return Err("--client-key needs --client-cert, the certificate that it belongs to".into());
            }
            (None, None) => {}
        }
        if let Some(url) = &self.proxy {
            let url = expand(url, &lookup).map_err(|problem| format!("--proxy {problem}"))?;
            options = if url.is_empty() { options.no_proxy() } else { options.proxy(url) };
        }
        if let Some(hosts) = &self.no_proxy {
            options = options.proxy_bypass(hosts);
        }
        for entry in &self.resolve {
            let (host, port, addresses) = resolution(entry).ok_or_else(|| {
                format!("--resolve '{entry}' cannot be read; write HOST:PORT:ADDRESS, for instance jarvis.internal:443:10.0.0.7")
            })?;
            options = options.addresses(host, port, addresses);
        }
        Ok(options)
    }
}

/// A file, which need not be a small one or a file at all.
fn read(option: &str, path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let result = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    match result {
        Ok(_) if bytes.len() as u64 > MAX_FILE_BYTES => {
            Err(format!("{option} {} is larger than 16 MiB, too large for certificates", path.display()))
        }
        Ok(_) => Ok(bytes),
        Err(error) => Err(format!("{option} {} cannot be read: {error}", path.display())),
    }
}

fn check(option: &str, path: &Path, options: &HttpOptions) -> Result<(), String> {
    options.check_certificates().map_err(|error| match error {
        OpenError::InvalidOption(problem) => format!("{option} {}: {problem}", path.display()),
        error => error.to_string(),
    })
}

/// `HOST:PORT:ADDRESS[,ADDRESS]…`, addresses of IPv6 with or without brackets; a `+` before it, which curl has, means
/// nothing here.
fn resolution(entry: &str) -> Option<(String, u16, Vec<IpAddr>)> {
    let entry = entry.strip_prefix('+').unwrap_or(entry);
    let (host, rest) = entry.split_once(':')?;
    let (port, addresses) = rest.split_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let address = |text: &str| text.trim_start_matches('[').trim_end_matches(']').parse().ok();
    let addresses: Option<Vec<_>> = addresses.split(',').map(address).collect();
    (!host.is_empty() && !host.starts_with('-')).then_some((host.to_owned(), port, addresses?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolutions() {
        let v4: IpAddr = [10, 0, 0, 7].into();
        let v6: IpAddr = "::1".parse().expect("an address");
        for (entry, expected) in [
            ("h:443:10.0.0.7", ("h", 443, vec![v4])),
            ("+h:443:10.0.0.7", ("h", 443, vec![v4])),
            ("*:80:::1", ("*", 80, vec![v6])),
            ("h:80:[::1],10.0.0.7", ("h", 80, vec![v6, v4])),
        ] {
            assert_eq!(resolution(entry), Some((expected.0.to_owned(), expected.1, expected.2)), "{entry}");
        }
        for entry in ["", "h", "h:80", "h:80:", "h:x:10.0.0.7", "h:0:10.0.0.7", "h:80:jarvis", ":80:10.0.0.7", "-h:80:"]
        {
            assert_eq!(resolution(entry), None, "{entry}");
        }
    }
}
