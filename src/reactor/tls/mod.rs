//! TLS for the addresses that ask for it. The core sees what is inside, nothing of the wrapping.
//!
//! [`contexts`] reads or makes certificates, which takes the disk and so happens before the loop
//! begins or on the thread that reads the configuration. [`session`] is one connection's.

mod certificate;
pub(in crate::reactor) mod session;

use crate::config::{Config, TlsConfig};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The only protocol that is spoken inside (RFC 7301, "ALPN").
const PROTOCOL: &[u8] = b"http/1.1";

/// A certificate with those that lead to its issuer, and its key.
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// What an address needs for speaking TLS.
#[derive(Clone, Debug)]
pub(in crate::reactor) struct Context {
    pub(in crate::reactor) config: Arc<ServerConfig>,
    /// SHA-256 of the certificate, as browsers show it.
    pub(in crate::reactor) fingerprint: String,
    /// What went wrong without being in the way.
    pub(in crate::reactor) warning: Option<String>,
}

/// How an address is to be served.
#[derive(Clone, Debug)]
pub(in crate::reactor) enum Security {
    Plain,
    Tls(Context),
    /// It was to be TLS and cannot be, for this reason: not at all.
    Broken(String),
}

/// For each address of the configuration. Reads files, and may make a certificate.
pub(in crate::reactor) fn contexts(config: &Config) -> Vec<Security> {
    let mut own: Option<Security> = None;
    let mut all = Vec::new();
    for http in &config.http {
        all.push(match &http.tls {
            None => Security::Plain,
            Some(TlsConfig::Own) => {
                let make = || match certificate::own(config) {
                    Ok((identity, warning)) => with_warning(context(identity), warning),
                    Err(why) => Security::Broken(why),
                };
                own.get_or_insert_with(make).clone()
            }
            Some(TlsConfig::Files { certificate, key }) => {
                match certificate::read(certificate, key).and_then(context) {
                    Ok(context) => Security::Tls(context),
                    Err(why) => Security::Broken(why),
                }
            }
        });
    }
    all
}

fn with_warning(context: Result<Context, String>, warning: Option<String>) -> Security {
    match context {
        Ok(context) => Security::Tls(Context { warning, ..context }),
        Err(why) => Security::Broken(why),
    }
}

/// What comes of a certificate and its key, if they belong together.
fn context((chain, key): Identity) -> Result<Context, String> {
    let first = chain.first().ok_or("there is no certificate in it")?;
    let fingerprint = fingerprint(first);
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| match e {
            rustls::Error::InconsistentKeys(_) => {
                "the key is not the certificate's; name the one that it was made for".to_owned()
            }
            e => e.to_string(),
        })?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    // Where AES has to be computed, it is several times slower, and leaks what it computes.
    config.ignore_client_order = !has_aes();
    Ok(Context {
        config: Arc::new(config),
        fingerprint,
        warning: None,
    })
}

fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    if !has_aes() {
        let is_aes = |s: &rustls::SupportedCipherSuite| format!("{:?}", s.suite()).contains("AES");
        provider.cipher_suites.sort_by_key(is_aes);
    }
    provider
}

/// Whether the processor has instructions for AES.
fn has_aes() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let digest = Sha256::digest(certificate);
    let bytes: Vec<String> = digest.iter().map(|b| format!("{b:02X}")).collect();
    bytes.join(":")
}

#[cfg(test)]
pub(in crate::reactor) mod tests;
