//! Settings as one file: cameras with how much is kept of them, users, and what a page set of the machine.
//!
//! Passwords are in it only with a passphrase, sealed (ChaCha20-Poly1305, RFC 8439) with a key that is made of
//! that (Argon2id, RFC 9106); without one they are left out. What is restored is added to what there is.

use super::cameras::{CameraPatch, CameraRequest, StreamChange, StreamPatch};
use super::users::{NewUser, UserPatch, UserReply, UserRequest};
use super::{Camera, Database, Error, Snapshot, StreamKind};
use crate::access::{Cameras, Permissions, PermissionsPatch, Preferences};
use crate::config::{Secret, Transport};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// What a backup calls itself, and the version of all that is in it.
const FORMAT: &str = "moonfire-nvr-settings";
const VERSION: u32 = 1;

/// The longest backup that is read, in bytes.
pub const MAX_BACKUP_BYTES: usize = 48 << 10;

/// A passphrase has at least so many bytes: the file may come into anybody's hands.
const MIN_PASSPHRASE_BYTES: usize = 8;
const MAX_PASSPHRASE_BYTES: usize = 256;

/// What making a key of a passphrase costs: KiB of memory, and passes.
const COST_KIB: u32 = 19 << 10;
const PASSES: u32 = 2;

#[derive(Serialize, Deserialize)]
struct File {
    format: String,
    version: u32,
    cameras: Vec<CameraFile>,
    users: Vec<UserFile>,
    /// What was set of the machine; null of one that is no appliance.
    #[serde(default)]
    machine: Value,
    /// `null` without a passphrase.
    secrets: Option<Sealed>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CameraFile {
    name: String,
    description: String,
    username: String,
    main: Option<StreamFile>,
    sub: Option<StreamFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StreamFile {
    url: String,
    transport: String,
    record: bool,
    retain_bytes: Option<i64>,
    retain_days: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UserFile {
    name: String,
    permissions: Value,
    /// The names of the cameras that they hold for; null for all.
    cameras: Option<Vec<String>>,
    preferences: Value,
    disabled: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sealed {
    memory_kib: u32,
    passes: u32,
    salt: String,
    nonce: String,
    sealed: String,
}

/// What is sealed, by names.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Secrets {
    cameras: BTreeMap<String, String>,
    /// Hashes.
    users: BTreeMap<String, String>,
}

/// What came of restoring.
#[derive(Debug, Default)]
pub struct Restored {
    pub cameras: usize,
    pub users: usize,
    /// What could not be restored, in sentences.
    pub notes: Vec<String>,
    pub machine: Value,
    /// All that there is afterwards.
    pub snapshot: Option<Box<Snapshot>>,
}

/// Why a backup cannot be made or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    #[error("a passphrase has {MIN_PASSPHRASE_BYTES} to {MAX_PASSPHRASE_BYTES} bytes")]
    Passphrase,
    #[error("the passphrase is wrong, or the file was damaged")]
    Unsealed,
    #[error("that is no backup of this program's settings: {0}")]
    NoBackup(String),
    #[error("it was made by a later version, and cannot be read by this one (its format is {0})")]
    Later(u32),
    #[error(
        "it is too large: there is more in it than a backup of {MAX_BACKUP_BYTES} bytes can hold"
    )]
    Large,
    #[error("the passwords cannot be sealed: {0}")]
    Sealing(String),
}

impl Database {
    /// All settings as a file, with what the machine tells of its own.
    pub(super) fn backup(
        &self,
        passphrase: Option<&Secret>,
        machine: Value,
    ) -> Result<String, Error> {
        let snapshot = self.snapshot()?;
        let ours = |c: &&Camera| c.removed.is_none();
        let cameras: Vec<&Camera> = snapshot.cameras.iter().filter(ours).collect();
        let users = super::users::list_with_hashes(&self.connection)?;
        let name_of = |uuid| {
            cameras
                .iter()
                .find(|c| c.uuid == uuid)
                .map(|c| c.name.clone())
        };
        let secrets = Secrets {
            cameras: cameras
                .iter()
                .map(|c| (c.name.clone(), c.password.0.clone()))
                .collect(),
            users: users
                .iter()
                .filter_map(|(user, hash)| Some((user.name.clone(), hash.as_ref()?.0.clone())))
                .collect(),
        };
        let file = File {
            format: FORMAT.to_owned(),
            version: VERSION,
            cameras: cameras.iter().map(|c| camera_file(c)).collect(),
            users: users
                .iter()
                .map(|(user, _)| UserFile {
                    name: user.name.clone(),
                    permissions: serde_json::to_value(user.permissions).unwrap_or_default(),
                    cameras: match &user.cameras {
                        Cameras::All => None,
                        Cameras::Only(uuids) => {
                            Some(uuids.iter().filter_map(|u| name_of(*u)).collect())
                        }
                    },
                    preferences: serde_json::from_str(user.preferences.as_json())
                        .unwrap_or_default(),
                    disabled: user.disabled,
                })
                .collect(),
            machine,
            secrets: passphrase.map(|p| seal(p, &secrets)).transpose()?,
        };
        let sealing = |e: serde_json::Error| BackupError::Sealing(e.to_string());
        let text = serde_json::to_string_pretty(&file).map_err(sealing)?;
        match text.len() <= MAX_BACKUP_BYTES {
            true => Ok(text),
            false => Err(BackupError::Large.into()),
        }
    }

    /// Adds what a backup holds to what there is. What cannot be restored is told, and costs nothing else.
    pub(super) fn restore(
        &mut self,
        bytes: &[u8],
        passphrase: Option<&Secret>,
    ) -> Result<Restored, Error> {
        let no_backup = |e: serde_json::Error| BackupError::NoBackup(e.to_string());
        if bytes.len() > MAX_BACKUP_BYTES {
            return Err(BackupError::Large.into());
        }
        let value: Value = serde_json::from_slice(bytes).map_err(no_backup)?;
        if value["format"] != Value::String(FORMAT.to_owned()) {
            return Err(BackupError::NoBackup("it does not say so".to_owned()).into());
        }
        match value["version"].as_u64() {
            Some(1) => {}
            later => return Err(BackupError::Later(later.unwrap_or(0) as u32).into()),
        }
        let file: File = serde_json::from_value(value).map_err(no_backup)?;
        let mut restored = Restored {
            machine: file.machine,
            ..Restored::default()
        };
        let secrets = match (&file.secrets, passphrase) {
            (Some(sealed), Some(passphrase)) => unseal(passphrase, sealed)?,
            (Some(_), None) => {
                restored
                    .notes
                    .push("no passphrase was given: passwords are not restored".to_owned());
                Secrets::default()
            }
            (None, _) => {
                restored
                    .notes
                    .push("there are no passwords in the file: give them anew".to_owned());
                Secrets::default()
            }
        };
        for camera in file.cameras {
            let name = camera.name.clone();
            match self.restore_camera(camera, &secrets) {
                Ok(()) => restored.cameras += 1,
                Err(e) => restored.notes.push(format!("camera \"{name}\": {e}")),
            }
        }
        for user in file.users {
            let name = user.name.clone();
            match self.restore_user(user, &secrets) {
                Ok(()) => restored.users += 1,
                Err(e) => restored.notes.push(format!("user \"{name}\": {e}")),
            }
        }
        restored.snapshot = Some(Box::new(self.snapshot()?));
        Ok(restored)
    }

    fn restore_camera(&mut self, file: CameraFile, secrets: &Secrets) -> Result<(), Error> {
        let snapshot = self.snapshot()?;
        let known = snapshot
            .cameras
            .iter()
            .find(|c| c.name == file.name && c.removed.is_none());
        let password = secrets.cameras.get(&file.name);
        let stream = |stream: Option<StreamFile>| match stream {
            None => StreamChange::default(),
            Some(s) => StreamChange::Put(StreamPatch {
                url: Some(s.url),
                transport: Some(match s.transport.as_str() {
                    "udp" => Transport::Udp,
                    _ => Transport::Tcp,
                }),
                record: Some(s.record),
                retain_bytes: Some(s.retain_bytes.map(|n| n.max(0))),
                retain_days: Some(s.retain_days),
                dir: None,
            }),
        };
        let mut patch = CameraPatch {
            name: Some(crate::config::camera_name(&file.name).map_err(Error::Invalid)?),
            description: Some(file.description),
            username: Some(file.username),
            password: password.map(|p| Secret(p.clone())),
            ..CameraPatch::default()
        };
        for url in [&file.main, &file.sub].into_iter().flatten() {
            crate::config::camera_url(&url.url).map_err(Error::Invalid)?;
        }
        patch.main = stream(file.main);
        patch.sub = stream(file.sub);
        patch.check().map_err(Error::Invalid)?;
        let patch = Box::new(patch);
        let request = match known {
            Some(camera) => CameraRequest::Change {
                camera: camera.uuid,
                patch,
            },
            None => CameraRequest::Make(patch),
        };
        let mut rng = self.rng.clone();
        self.cameras(request, &mut rng)?;
        self.rng = rng;
        Ok(())
    }

    fn restore_user(&mut self, file: UserFile, secrets: &Secrets) -> Result<(), Error> {
        let wrong = |e: serde_json::Error| Error::Invalid(e.to_string());
        let permissions: PermissionsPatch =
            serde_json::from_value(file.permissions).map_err(wrong)?;
        let snapshot = self.snapshot()?;
        let uuid_of = |name: &String| {
            snapshot
                .cameras
                .iter()
                .find(|c| c.name == *name)
                .map(|c| c.uuid)
        };
        let cameras = match &file.cameras {
            None => Cameras::All,
            Some(names) => Cameras::Only(names.iter().filter_map(uuid_of).collect()),
        };
        let preferences = Preferences::parse(&file.preferences.to_string())
            .map_err(|e| Error::Invalid(e.to_string()))?;
        let hash = secrets.users.get(&file.name).map(|h| Secret(h.clone()));
        let UserReply::Users(users) = self.users(UserRequest::List)? else {
            return Ok(());
        };
        let known = users
            .iter()
            .find(|u| u.name.eq_ignore_ascii_case(&file.name));
        match known {
            // It keeps its password: who restores is signed in by one of these.
            Some(user) => {
                let patch = UserPatch {
                    name: None,
                    password_hash: None,
                    permissions,
                    cameras: Some(cameras),
                    preferences: Some(preferences),
                    disabled: Some(file.disabled),
                };
                self.users(UserRequest::Patch {
                    user: user.id,
                    patch: Box::new(patch),
                    keep: None,
                })?;
            }
            None => {
                self.users(UserRequest::Create(NewUser {
                    name: file.name,
                    password_hash: hash,
                    permissions: permissions.apply(Permissions::NONE),
                    cameras,
                    preferences,
                }))?;
            }
        }
        Ok(())
    }
}

fn camera_file(camera: &Camera) -> CameraFile {
    let stream = |kind| {
        let found = camera
            .streams
            .iter()
            .find(|s| s.kind == kind && !s.url.is_empty());
        found.map(|s| StreamFile {
            url: s.url.clone(),
            transport: s.transport.as_str().to_owned(),
            record: s.record,
            retain_bytes: s.retain_bytes,
            retain_days: s.retain_days,
        })
    };
    CameraFile {
        name: camera.name.clone(),
        description: camera.description.clone(),
        username: camera.username.clone(),
        main: stream(StreamKind::Main),
        sub: stream(StreamKind::Sub),
    }
}

fn key(
    passphrase: &Secret,
    salt: &[u8],
    memory_kib: u32,
    passes: u32,
) -> Result<LessSafeKey, BackupError> {
    if !(MIN_PASSPHRASE_BYTES..=MAX_PASSPHRASE_BYTES).contains(&passphrase.0.len()) {
        return Err(BackupError::Passphrase);
    }
    let sealing = |e: argon2::Error| BackupError::Sealing(e.to_string());
    let params = argon2::Params::new(memory_kib, passes, 1, Some(32)).map_err(sealing)?;
    let argon = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut bytes = [0; 32];
    argon
        .hash_password_into(passphrase.0.as_bytes(), salt, &mut bytes)
        .map_err(sealing)?;
    let key = UnboundKey::new(&CHACHA20_POLY1305, &bytes);
    key.map(LessSafeKey::new)
        .map_err(|e| BackupError::Sealing(e.to_string()))
}

fn seal(passphrase: &Secret, secrets: &Secrets) -> Result<Sealed, BackupError> {
    let mut salt = [0; 16];
    let mut nonce = [0; 12];
    let random = getrandom::fill(&mut salt).and_then(|()| getrandom::fill(&mut nonce));
    random.map_err(|e| BackupError::Sealing(e.to_string()))?;
    let key = key(passphrase, &salt, COST_KIB, PASSES)?;
    let mut bytes = serde_json::to_vec(secrets).map_err(|e| BackupError::Sealing(e.to_string()))?;
    let sealed = key.seal_in_place_append_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(FORMAT),
        &mut bytes,
    );
    sealed.map_err(|e| BackupError::Sealing(e.to_string()))?;
    Ok(Sealed {
        memory_kib: COST_KIB,
        passes: PASSES,
        salt: STANDARD.encode(salt),
        nonce: STANDARD.encode(nonce),
        sealed: STANDARD.encode(bytes),
    })
}

fn unseal(passphrase: &Secret, sealed: &Sealed) -> Result<Secrets, BackupError> {
    let decode = |text: &str| STANDARD.decode(text).map_err(|_| BackupError::Unsealed);
    let (salt, nonce, mut bytes) = (
        decode(&sealed.salt)?,
        decode(&sealed.nonce)?,
        decode(&sealed.sealed)?,
    );
    // What a file says of the cost is not believed beyond what it ever was.
    if sealed.memory_kib > COST_KIB || sealed.passes > PASSES {
        return Err(BackupError::Unsealed);
    }
    let nonce: [u8; 12] = nonce.try_into().map_err(|_| BackupError::Unsealed)?;
    let key = key(passphrase, &salt, sealed.memory_kib, sealed.passes)?;
    let opened = key.open_in_place(
        Nonce::assume_unique_for_key(nonce),
        Aad::from(FORMAT),
        &mut bytes,
    );
    let opened = opened.map_err(|_| BackupError::Unsealed)?;
    serde_json::from_slice(opened).map_err(|_| BackupError::Unsealed)
}
