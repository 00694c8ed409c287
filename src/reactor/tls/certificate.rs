//! Certificates and their keys: read from files, or made for the local network.

use super::Identity;
use crate::config::Config;
use nix::ifaddrs::getifaddrs;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The largest file that is read.
const MAX_PEM_BYTES: u64 = 256 << 10;

/// Names and addresses that a certificate of our own is for.
const MAX_NAMES: usize = 64;

/// Where a certificate of our own is kept, beside the database.
const OWN_CERTIFICATE: &str = "https-certificate.pem";
const OWN_KEY: &str = "https-key.pem";

/// The key is for nobody but the recorder.
const KEY_MODE: u32 = 0o600;
const CERTIFICATE_MODE: u32 = 0o644;

/// Reads a certificate with those that follow it, and a key.
pub(super) fn read(certificate: &Path, key: &Path) -> Result<Identity, String> {
    let told = |path: &Path, why: String| format!("{}: {why}", path.display());
    let pem = read_file(certificate).map_err(|e| told(certificate, e.to_string()))?;
    let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|e| told(certificate, format!("not a certificate in PEM: {e}")))?;
    if chain.is_empty() {
        let why = "there is no certificate in PEM in it (-----BEGIN CERTIFICATE-----)";
        return Err(told(certificate, why.to_owned()));
    }
    let pem = read_file(key).map_err(|e| told(key, e.to_string()))?;
    // Nothing of a key's file is ever quoted.
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        let why = "there is no private key in PEM in it, or it needs a passphrase";
        told(key, why.to_owned())
    })?;
    Ok((chain, key))
}

/// The recorder's own, made if there is none that can be used. The second value is why it could not
/// be kept: the next start would make another one.
pub(super) fn own(config: &Config) -> Result<(Identity, Option<String>), String> {
    let certificate = config.db_dir.join(OWN_CERTIFICATE);
    let key = config.db_dir.join(OWN_KEY);
    let there = read(&certificate, &key);
    if let Ok(identity) = there {
        // What does not belong together is what a power cut has left.
        if super::context((identity.0.clone(), identity.1.clone_key())).is_ok() {
            return Ok((identity, None));
        }
    }
    let (certificate_pem, key_pem) = make(names(config)).map_err(|e| e.to_string())?;
    let kept = put(&key, &key_pem, KEY_MODE)
        .and_then(|()| put(&certificate, &certificate_pem, CERTIFICATE_MODE))
        .and_then(|()| File::open(&config.db_dir)?.sync_all());
    let warning = kept.err().map(|e| {
        let dir = config.db_dir.display();
        format!("the certificate cannot be kept in {dir} ({e}): the next start will make another")
    });
    let pem = |e| format!("a certificate just made: {e}");
    let chain = CertificateDer::from_pem_slice(certificate_pem.as_bytes()).map_err(pem)?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(pem)?;
    Ok(((vec![chain], key), warning))
}

/// A certificate and its key, in PEM. It is good for as long as its format can tell without a
/// calendar beyond 2049 (RFC 5280 section 4.1.2.5): a board that starts at 1970 would make one that
/// has expired before it is used, and one that is renewed asks everybody to trust it anew.
fn make(names: Vec<String>) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    params.distinguished_name = DistinguishedName::new();
    let name = "Moonfire NVR on this network";
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// What this machine may be called by.
fn names(config: &Config) -> Vec<String> {
    let mut names = vec!["localhost".to_owned()];
    let host = nix::unistd::gethostname().ok();
    if let Some(host) = host.and_then(|h| h.into_string().ok()) {
        let short = host.split('.').next().unwrap_or_default().to_owned();
        names.extend([format!("{short}.local"), short, host]);
    }
    names.extend(config.http.iter().flat_map(|http| http.names.clone()));
    names.retain(|name| is_host_name(name));
    let loopback = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ];
    let addresses = loopback.into_iter().chain(addresses());
    names.extend(addresses.map(|a| a.to_string()));
    let mut unique = Vec::new();
    for name in names {
        if !unique.contains(&name) && unique.len() < MAX_NAMES {
            unique.push(name);
        }
    }
    unique
}

/// The addresses of this machine that others may use.
fn addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = getifaddrs() else {
        return Vec::new();
    };
    let address = |address: nix::sys::socket::SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|a| IpAddr::from(a.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::from(a.ip())))
    };
    let is_of_use = |a: &IpAddr| match a {
        IpAddr::V4(_) => true,
        // Link-local ones are written with the number of an interface, which is not part of a name.
        IpAddr::V6(a) => !a.is_unicast_link_local(),
    };
    interfaces
        .filter_map(|i| address(i.address?))
        .filter(is_of_use)
        .collect()
}

/// RFC 1123 section 2.1, and the underscore that some machines have in their names.
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path)?
        .take(MAX_PEM_BYTES + 1)
        .read_to_end(&mut bytes)?;
    match read as u64 > MAX_PEM_BYTES {
        true => Err(io::Error::other("too large for what it should be")),
        false => Ok(bytes),
    }
}

/// Writes a file whole or not at all.
fn put(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut options = File::options();
    options.write(true).create_new(true).mode(mode);
    let mut file = match options.open(&new) {
        // What a power cut has left may have been made for more readers.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            std::fs::remove_file(&new)?;
            options.open(&new)?
        }
        opened => opened?,
    };
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{HttpConfig, Listen, TlsConfig};
    use crate::reactor::tls::{Security, contexts};
    use std::os::unix::fs::PermissionsExt;

    fn config(dir: &Path, tls: TlsConfig) -> Config {
        let listen = Listen::Systemd("x".into());
        Config {
            db_dir: dir.to_owned(),
            http: vec![HttpConfig {
                tls: Some(tls),
                names: vec!["nvr.example.net".to_owned(), "b\u{fc}ro".to_owned()],
                ..HttpConfig::new(listen)
            }],
            ..Config::default()
        }
    }

    fn fingerprint(config: &Config) -> Result<String, String> {
        match contexts(config).remove(0) {
            Security::Tls(context) => Ok(context.fingerprint),
            Security::Broken(why) => Err(why),
            Security::Plain => panic!("plain"),
        }
    }

    #[test]
    fn a_certificate_is_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), TlsConfig::Own);
        let first = fingerprint(&config).unwrap();
        assert_eq!(first.len(), 32 * 3 - 1);
        assert_eq!(fingerprint(&config), Ok(first.clone()));
        let key = dir.path().join(OWN_KEY);
        let mode = key.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, KEY_MODE);
        // Half of a pair, or one half of another pair: both are made anew.
        std::fs::remove_file(&key).unwrap();
        let second = fingerprint(&config).unwrap();
        assert_ne!(first, second);
        let (_, other) = make(names(&config)).unwrap();
        std::fs::write(&key, other).unwrap();
        let third = fingerprint(&config).unwrap();
        assert_ne!(second, third);
        assert_eq!(fingerprint(&config), Ok(third));
    }

    #[test]
    fn where_it_cannot_be_kept_it_works_and_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let missing = config(&dir.path().join("missing"), TlsConfig::Own);
        let (_, warning) = own(&missing).unwrap();
        assert!(warning.unwrap().contains("will make another"));
    }

    #[test]
    fn it_is_for_the_names_that_the_machine_has() {
        let dir = tempfile::tempdir().unwrap();
        let names = names(&config(dir.path(), TlsConfig::Own));
        for expected in ["localhost", "nvr.example.net", "127.0.0.1", "::1"] {
            assert!(
                names.iter().any(|n| n == expected),
                "{expected} of {names:?}"
            );
        }
        assert!(!names.iter().any(|n| n.contains('\u{fc}')));
        make(names).unwrap();
        let long = "x".repeat(64);
        for wrong in ["", "a..b", "a b", long.as_str()] {
            assert!(!is_host_name(wrong), "{wrong}");
        }
    }

    #[test]
    fn files_that_are_no_good_are_told_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (good, good_key) = make(vec!["a".to_owned()]).unwrap();
        let (_, other_key) = make(vec!["b".to_owned()]).unwrap();
        let certificate = put("c.pem", &format!("{good}{good}"));
        let key = put("k.pem", &good_key);
        let tls = |certificate: &Path, key: &Path| {
            fingerprint(&config(
                dir.path(),
                TlsConfig::Files {
                    certificate: certificate.to_owned(),
                    key: key.to_owned(),
                },
            ))
        };
        assert!(tls(&certificate, &key).is_ok());
        let other = put("other.pem", &other_key);
        let large = put("large.pem", &"x".repeat(MAX_PEM_BYTES as usize + 1));
        let cut = put("cut.pem", &good[..good.len() / 2]);
        let missing = dir.path().join("missing.pem");
        for (certificate, key, told) in [
            (&certificate, &other, "not the certificate's"),
            (&certificate, &certificate, "c.pem: there is no private key"),
            (&key, &key, "k.pem: there is no certificate"),
            (&cut, &key, "cut.pem: "),
            (&large, &key, "large.pem: too large"),
            (&missing, &key, "missing.pem: No such file"),
            (&certificate, &missing, "missing.pem: No such file"),
        ] {
            let why = tls(certificate, key).unwrap_err();
            assert!(why.contains(told), "{why}");
        }
    }
}
