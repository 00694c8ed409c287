//! An update as one file: what it is, signed, and the parts behind it.
//!
//! `MNVRUPD1`, the manifest's length as four bytes, the most significant first, the manifest (JSON), an
//! Ed25519 signature (RFC 8032) of all that, then the parts one after another. The manifest tells each part's
//! length and SHA-256, so that it stands for all of the file. Nothing of a part is looked at before the
//! signature is found good. No I/O here: a bundle comes in pieces of any size, and goes out in pieces.

use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What a bundle begins with.
pub const MAGIC: &[u8; 8] = b"MNVRUPD1";

/// The longest manifest, in bytes.
pub const MAX_MANIFEST_BYTES: usize = 64 << 10;

/// The most parts.
pub const MAX_PARTS: usize = 128;

/// The longest root, and the most that all files of the boot partition may take, in bytes: what the card's
/// partitions have room for.
pub const MAX_ROOT_BYTES: u64 = 160 << 20;
pub const MAX_BOOT_BYTES: u64 = 28 << 20;

/// The name of the root's part.
pub const ROOT: &str = "root";

/// What the names of the boot partition's parts begin with.
pub const BOOT: &str = "boot/";

const SIGNATURE_BYTES: usize = 64;

/// What a bundle is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub version: String,
    /// What it runs on: `armv7`.
    pub machine: String,
    pub parts: Vec<Part>,
}

/// A part of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// [`ROOT`], or [`BOOT`] with a file's name behind it.
    pub name: String,
    pub bytes: u64,
    /// In hexadecimal digits.
    pub sha256: String,
}

/// What bundles are for here.
pub const MACHINE: &str = "armv7";

/// Why a bundle is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    #[error("that is no update of Moonfire NVR")]
    NoBundle,
    #[error("its manifest is longer than {MAX_MANIFEST_BYTES} bytes")]
    LongManifest,
    #[error(
        "it was not signed with the key of this machine's image: it was changed on the way, or is of somebody else"
    )]
    Signature,
    #[error("its manifest cannot be read: {0}")]
    Manifest(String),
    #[error("it is for {0}, and this machine is {MACHINE}")]
    Machine(String),
    #[error("its part {0} is not what the manifest says: it was damaged on the way")]
    Damaged(String),
    #[error("it ends too early: {0} bytes are missing")]
    Short(u64),
    #[error("there is more in it than the manifest says")]
    Long,
    /// What takes the parts could not.
    #[error("{0}")]
    Sink(String),
}

impl Manifest {
    /// Reads and checks one.
    pub fn parse(json: &[u8]) -> Result<Manifest, BundleError> {
        let manifest: Manifest =
            serde_json::from_slice(json).map_err(|e| BundleError::Manifest(e.to_string()))?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), BundleError> {
        let wrong = |why: &str| Err(BundleError::Manifest(why.to_owned()));
        if !is_name(&self.version) {
            return wrong("its version is none");
        }
        if self.machine != MACHINE {
            let told: String = self
                .machine
                .chars()
                .filter(|c| !c.is_control())
                .take(40)
                .collect();
            return Err(BundleError::Machine(told));
        }
        if self.parts.len() > MAX_PARTS {
            return wrong("it has too many parts");
        }
        let mut boot_bytes = 0u64;
        for (i, part) in self.parts.iter().enumerate() {
            // Names on the boot partition are the same in capitals.
            let is = |other: &Part| other.name.eq_ignore_ascii_case(&part.name);
            if self.parts[..i].iter().any(is) {
                return wrong("a part is there twice");
            }
            let digits = part.sha256.len() == 64
                && part
                    .sha256
                    .bytes()
                    .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            if !digits {
                return wrong("a part has no digest");
            }
            match part.name.strip_prefix(BOOT) {
                Some(file) if is_name(file) => {
                    boot_bytes = boot_bytes.saturating_add(part.bytes);
                }
                None if part.name == ROOT && part.bytes <= MAX_ROOT_BYTES => {}
                None if part.name == ROOT => return wrong("its root is too long"),
                _ => return wrong("a part has a name that it cannot have"),
            }
        }
        if boot_bytes > MAX_BOOT_BYTES {
            return wrong("its files for the boot partition are too long");
        }
        match self.parts.iter().any(|p| p.name == ROOT) {
            true => Ok(()),
            false => wrong("it has no root"),
        }
    }

    /// The bytes of all parts.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|p| p.bytes).sum()
    }
}

/// A name of a file without a path, and of nothing but letters, digits and `.-_+`.
fn is_name(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'+');
    (1..=64).contains(&text.len()) && text.bytes().all(good) && !text.starts_with(['.', '-'])
}

/// Takes what comes out of a bundle.
pub trait Sink {
    /// The signature is good; the parts follow.
    fn begin(&mut self, manifest: &Manifest) -> Result<(), String>;
    /// More of a part, in order.
    fn write(&mut self, part: &Part, bytes: &[u8]) -> Result<(), String>;
}

/// A bundle that is coming.
pub struct Incoming {
    key: Vec<u8>,
    state: State,
}

enum State {
    /// So much of the head has come.
    Head(Vec<u8>),
    /// A part is coming.
    Parts {
        manifest: Manifest,
        part: usize,
        /// Of this part.
        left: u64,
        digest: Sha256,
    },
}

impl Incoming {
    /// One that must be signed with the key of which this is the public half.
    pub fn new(key: [u8; 32]) -> Incoming {
        Incoming {
            key: key.to_vec(),
            state: State::Head(Vec::new()),
        }
    }

    /// Takes in more. After an error nothing more may be given.
    pub fn feed(&mut self, mut bytes: &[u8], sink: &mut dyn Sink) -> Result<(), BundleError> {
        while !bytes.is_empty() {
            match &mut self.state {
                State::Head(head) => {
                    let wanted = head_bytes(head)?;
                    let taken = (wanted - head.len()).min(bytes.len());
                    head.extend_from_slice(&bytes[..taken]);
                    bytes = &bytes[taken..];
                    if head.len() == head_bytes(head)? && head.len() > HEAD_BYTES {
                        let manifest = verified(head, &self.key)?;
                        sink.begin(&manifest).map_err(BundleError::Sink)?;
                        self.state = State::Parts {
                            left: manifest.parts.first().map_or(0, |p| p.bytes),
                            manifest,
                            part: 0,
                            digest: Sha256::new(),
                        };
                        self.skip_empty()?;
                    }
                }
                State::Parts {
                    manifest,
                    part,
                    left,
                    digest,
                } => {
                    let Some(told) = manifest.parts.get(*part) else {
                        return Err(BundleError::Long);
                    };
                    let taken = usize::try_from(*left)
                        .unwrap_or(usize::MAX)
                        .min(bytes.len());
                    let (piece, rest) = bytes.split_at(taken);
                    digest.update(piece);
                    sink.write(told, piece).map_err(BundleError::Sink)?;
                    *left -= taken as u64;
                    bytes = rest;
                    self.skip_empty()?;
                }
            }
        }
        Ok(())
    }

    /// All has come: what it was.
    pub fn end(self) -> Result<Manifest, BundleError> {
        match self.state {
            State::Head(head) => {
                match head.is_empty() || !MAGIC.starts_with(&head[..head.len().min(8)]) {
                    true => Err(BundleError::NoBundle),
                    false => Err(BundleError::Short((head_bytes(&head)? - head.len()) as u64)),
                }
            }
            State::Parts {
                manifest,
                part,
                left,
                ..
            } => {
                let later = manifest.parts.iter().skip(part + 1);
                match part < manifest.parts.len() {
                    true => Err(BundleError::Short(
                        left + later.map(|p| p.bytes).sum::<u64>(),
                    )),
                    false => Ok(manifest),
                }
            }
        }
    }

    /// Ends the part that is whole, and those behind it that have no bytes.
    fn skip_empty(&mut self) -> Result<(), BundleError> {
        let State::Parts {
            manifest,
            part,
            left,
            digest,
        } = &mut self.state
        else {
            return Ok(());
        };
        while let (Some(told), 0) = (manifest.parts.get(*part), *left) {
            if hex(&std::mem::take(digest).finalize()) != told.sha256 {
                return Err(BundleError::Damaged(told.name.clone()));
            }
            *part += 1;
            *left = manifest.parts.get(*part).map_or(0, |p| p.bytes);
        }
        Ok(())
    }
}

/// The magic and the manifest's length.
const HEAD_BYTES: usize = 12;

/// How long the head is, as far as that is known.
fn head_bytes(head: &[u8]) -> Result<usize, BundleError> {
    let begun = head.len().min(MAGIC.len());
    if head[..begun] != MAGIC[..begun] {
        return Err(BundleError::NoBundle);
    }
    let Some(len) = head.get(MAGIC.len()..HEAD_BYTES) else {
        return Ok(HEAD_BYTES);
    };
    let len = len.iter().fold(0, |n, b| n << 8 | usize::from(*b));
    match len <= MAX_MANIFEST_BYTES {
        true => Ok(HEAD_BYTES + len + SIGNATURE_BYTES),
        false => Err(BundleError::LongManifest),
    }
}

/// The manifest of a whole head, if the signature is good.
fn verified(head: &[u8], key: &[u8]) -> Result<Manifest, BundleError> {
    let (signed, signature) = head.split_at(head.len() - SIGNATURE_BYTES);
    let key = UnparsedPublicKey::new(&ED25519, key);
    key.verify(signed, signature)
        .map_err(|_| BundleError::Signature)?;
    Manifest::parse(&signed[HEAD_BYTES..])
}

/// The head of a bundle with this manifest, signed.
pub fn head(manifest: &Manifest, key: &Ed25519KeyPair) -> Result<Vec<u8>, BundleError> {
    manifest.check()?;
    let json = serde_json::to_vec(manifest).map_err(|e| BundleError::Manifest(e.to_string()))?;
    if json.len() > MAX_MANIFEST_BYTES {
        return Err(BundleError::LongManifest);
    }
    let mut head = MAGIC.to_vec();
    head.extend_from_slice(&(json.len() as u32).to_be_bytes());
    head.extend_from_slice(&json);
    let signature = key.sign(&head);
    head.extend_from_slice(signature.as_ref());
    Ok(head)
}

/// In lower case.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
pub(in crate::appliance) mod tests {
    use super::*;
    use ring::signature::KeyPair;

    pub fn key(seed: u8) -> (Ed25519KeyPair, [u8; 32]) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let public = pair.public_key().as_ref().try_into().unwrap();
        (pair, public)
    }

    pub fn bundle(version: &str, parts: &[(&str, &[u8])], pair: &Ed25519KeyPair) -> Vec<u8> {
        let manifest = Manifest {
            version: version.to_owned(),
            machine: MACHINE.to_owned(),
            parts: parts
                .iter()
                .map(|(name, bytes)| Part {
                    name: (*name).to_owned(),
                    bytes: bytes.len() as u64,
                    sha256: hex(&Sha256::digest(bytes)),
                })
                .collect(),
        };
        let mut all = head(&manifest, pair).unwrap();
        parts
            .iter()
            .for_each(|(_, bytes)| all.extend_from_slice(bytes));
        all
    }

    #[derive(Default)]
    struct Kept {
        begun: usize,
        parts: Vec<(String, Vec<u8>)>,
    }

    impl Sink for Kept {
        fn begin(&mut self, _: &Manifest) -> Result<(), String> {
            self.begun += 1;
            Ok(())
        }

        fn write(&mut self, part: &Part, bytes: &[u8]) -> Result<(), String> {
            match self.parts.last_mut() {
                Some((name, all)) if *name == part.name => all.extend_from_slice(bytes),
                _ => self.parts.push((part.name.clone(), bytes.to_vec())),
            }
            Ok(())
        }
    }

    fn take(bytes: &[u8], piece: usize) -> (Result<Manifest, BundleError>, Kept) {
        let mut kept = Kept::default();
        let mut incoming = Incoming::new(key(1).1);
        for piece in bytes.chunks(piece) {
            if let Err(e) = incoming.feed(piece, &mut kept) {
                return (Err(e), kept);
            }
        }
        (incoming.end(), kept)
    }

    const PARTS: [(&str, &[u8]); 4] = [
        ("boot/empty", b""),
        (ROOT, b"a root that is long enough to come in pieces"),
        ("boot/vmlinuz", b"kernel"),
        ("boot/last", b""),
    ];

    #[test]
    fn it_comes_out_as_it_went_in_whatever_the_pieces() {
        let bytes = bundle("0.2.0", &PARTS, &key(1).0);
        for piece in [1, 2, 7, 63, bytes.len()] {
            let (manifest, kept) = take(&bytes, piece);
            assert_eq!(manifest.unwrap().version, "0.2.0", "{piece}");
            let expected: Vec<_> = PARTS
                .iter()
                .filter(|(_, b)| !b.is_empty())
                .map(|(n, b)| ((*n).to_owned(), b.to_vec()))
                .collect();
            assert_eq!((kept.begun, kept.parts), (1, expected), "{piece}");
        }
    }

    #[test]
    fn nothing_that_is_cut_or_changed_is_taken() {
        let bytes = bundle("0.2.0", &PARTS, &key(1).0);
        for cut in 0..bytes.len() {
            let (result, _) = take(&bytes[..cut], 5);
            assert!(
                matches!(result, Err(BundleError::NoBundle | BundleError::Short(_))),
                "{cut} {result:?}"
            );
        }
        for i in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[i] ^= 0x20;
            let (result, kept) = take(&bad, 64);
            assert!(result.is_err(), "{i}");
            let in_head = i < bytes.len() - PARTS.iter().map(|(_, b)| b.len()).sum::<usize>();
            assert!(!in_head || kept.begun == 0, "{i}");
        }
        let mut long = bytes.clone();
        long.push(0);
        assert_eq!(take(&long, 64).0, Err(BundleError::Long));
        let foreign = bundle("0.2.0", &PARTS, &key(2).0);
        let (result, kept) = take(&foreign, 64);
        assert_eq!((result, kept.begun), (Err(BundleError::Signature), 0));
        let huge = [&MAGIC[..], &[0xff; 4]].concat();
        assert_eq!(take(&huge, 64).0, Err(BundleError::LongManifest));
    }

    #[test]
    fn names_and_sizes_are_bounded() {
        let good = Manifest {
            version: "0.2.0".to_owned(),
            machine: MACHINE.to_owned(),
            parts: vec![Part {
                name: ROOT.to_owned(),
                bytes: 1,
                sha256: "0".repeat(64),
            }],
        };
        good.check().unwrap();
        let with = |name: &str, bytes: u64| {
            let mut manifest = good.clone();
            let sha256 = "0".repeat(64);
            manifest.parts.push(Part {
                name: name.to_owned(),
                bytes,
                sha256,
            });
            manifest.check().is_ok()
        };
        assert!(with("boot/bcm2836-rpi-2-b.dtb", 1));
        for bad in [
            "boot/../x",
            "boot/a/b",
            "boot/",
            "boot/.x",
            "/etc/passwd",
            "other",
            ROOT,
            "boot/a b",
            "boot/\u{e9}",
        ] {
            assert!(!with(bad, 1), "{bad}");
        }
        assert!(!with("boot/x", MAX_BOOT_BYTES + 1) && !with("boot/x", u64::MAX));
        let mut many = good.clone();
        many.parts = vec![good.parts[0].clone(); MAX_PARTS + 1];
        assert!(many.check().is_err());
        for change in [
            |m: &mut Manifest| m.version = "../1".to_owned(),
            |m: &mut Manifest| m.machine = "amd64".to_owned(),
            |m: &mut Manifest| m.parts.clear(),
            |m: &mut Manifest| m.parts[0].bytes = MAX_ROOT_BYTES + 1,
            |m: &mut Manifest| m.parts[0].sha256 = "x".repeat(64),
        ] {
            let mut bad = good.clone();
            change(&mut bad);
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
