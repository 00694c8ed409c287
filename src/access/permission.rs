//! What somebody may be allowed, in the program's own words and in those of older clients.

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

/// Something that may be allowed. The number is its bit in the database: it never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Watch cameras live.
    ViewLive = 0,
    /// Watch and list what was recorded.
    ViewRecordings = 1,
    /// Take recordings out as files to keep. Includes [`Permission::ViewRecordings`].
    Export = 2,
    /// See how cameras are set up, but for their passwords, which nobody sees.
    ReadCameraConfigs = 3,
    /// Change how cameras and the recorder are set up. Includes [`Permission::ReadCameraConfigs`].
    Configure = 4,
    /// Change the states of signals.
    UpdateSignals = 5,
    /// Make, change and remove users, and see and end their sessions.
    Administer = 6,
}

impl Permission {
    pub const ALL: [Permission; 7] = [
        Permission::ViewLive,
        Permission::ViewRecordings,
        Permission::Export,
        Permission::ReadCameraConfigs,
        Permission::Configure,
        Permission::UpdateSignals,
        Permission::Administer,
    ];

    /// What an address may allow without signing in: never more than watching.
    pub const OF_VISITORS: [Permission; 2] = [Permission::ViewLive, Permission::ViewRecordings];

    /// The word used in the configuration and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Permission::ViewLive => "view_live",
            Permission::ViewRecordings => "view_recordings",
            Permission::Export => "export",
            Permission::ReadCameraConfigs => "read_camera_configs",
            Permission::Configure => "configure",
            Permission::UpdateSignals => "update_signals",
            Permission::Administer => "administer",
        }
    }

    /// The key in JSON.
    fn key(self) -> &'static str {
        match self {
            Permission::ViewLive => "viewLive",
            Permission::ViewRecordings => "viewRecordings",
            Permission::Export => "export",
            Permission::ReadCameraConfigs => "readCameraConfigs",
            Permission::Configure => "configure",
            Permission::UpdateSignals => "updateSignals",
            Permission::Administer => "administer",
        }
    }

    /// What holding this one is worth nothing without.
    fn includes(self) -> Option<Permission> {
        match self {
            Permission::Export => Some(Permission::ViewRecordings),
            Permission::Configure => Some(Permission::ReadCameraConfigs),
            _ => None,
        }
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A set of permissions. It holds what each of its members includes.
///
/// In JSON it is an object of booleans: one for each permission, and those that older clients know
/// (`viewVideo`: live and recorded; `adminUsers`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Permissions(u32);

impl Permissions {
    pub const NONE: Permissions = Permissions(0);

    pub fn all() -> Permissions {
        Permission::ALL.into_iter().collect()
    }

    /// The number that the database keeps.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Of the number that the database keeps. Bits of no permission (of a newer version) are left
    /// out, and so are permissions without what they include.
    pub fn from_bits(bits: u32) -> Permissions {
        let known = Permission::ALL.into_iter().filter(|p| {
            let with = p.bit() | p.includes().map_or(0, Permission::bit);
            bits & with == with
        });
        known.collect()
    }

    pub fn has(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds one, and what it includes.
    pub fn insert(&mut self, permission: Permission) {
        self.0 |= permission.bit() | permission.includes().map_or(0, Permission::bit);
    }

    /// Removes one, and those that include it.
    pub fn remove(&mut self, permission: Permission) {
        self.0 &= !permission.bit();
        for other in Permission::ALL {
            if other.includes() == Some(permission) {
                self.0 &= !other.bit();
            }
        }
    }

    /// What both hold.
    pub fn intersection(self, other: Permissions) -> Permissions {
        Permissions(self.0 & other.0)
    }

    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.into_iter().filter(move |p| self.has(*p))
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Permissions {
        let mut set = Permissions::NONE;
        for p in permissions {
            set.insert(p);
        }
        set
    }
}

impl Serialize for Permissions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for p in Permission::ALL {
            map.serialize_entry(p.key(), &self.has(p))?;
        }
        let video = self.has(Permission::ViewLive) && self.has(Permission::ViewRecordings);
        map.serialize_entry("viewVideo", &video)?;
        map.serialize_entry("adminUsers", &self.has(Permission::Administer))?;
        map.end()
    }
}

/// A change of [`Permissions`], as clients write it: what is left out stays. An unknown key is an
/// error: somebody meant something by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PermissionsPatch {
    pub view_live: Option<bool>,
    pub view_recordings: Option<bool>,
    pub export: Option<bool>,
    pub read_camera_configs: Option<bool>,
    pub configure: Option<bool>,
    pub update_signals: Option<bool>,
    pub administer: Option<bool>,
    /// Older clients' word for `viewLive` and `viewRecordings` together.
    pub view_video: Option<bool>,
    /// Older clients' word for `administer`.
    pub admin_users: Option<bool>,
}

impl From<Permissions> for PermissionsPatch {
    /// The change to just these.
    fn from(to: Permissions) -> PermissionsPatch {
        let said = |p| Some(to.has(p));
        PermissionsPatch {
            view_live: said(Permission::ViewLive),
            view_recordings: said(Permission::ViewRecordings),
            export: said(Permission::Export),
            read_camera_configs: said(Permission::ReadCameraConfigs),
            configure: said(Permission::Configure),
            update_signals: said(Permission::UpdateSignals),
            administer: said(Permission::Administer),
            view_video: None,
            admin_users: None,
        }
    }
}

impl PermissionsPatch {
    /// The permissions after the change. First what is granted, then what is taken away, so that
    /// "no" wins where one includes another. An older word counts only where none of the newer ones
    /// for the same is there, so that all that was told can be sent back.
    pub fn apply(&self, mut to: Permissions) -> Permissions {
        use Permission::*;
        let newer = self.view_live.or(self.view_recordings);
        let view_video = self.view_video.filter(|_| newer.is_none());
        let admin_users = self.admin_users.filter(|_| self.administer.is_none());
        let words: [(Option<bool>, &[Permission]); 9] = [
            (self.view_live, &[ViewLive]),
            (self.view_recordings, &[ViewRecordings]),
            (self.export, &[Export]),
            (self.read_camera_configs, &[ReadCameraConfigs]),
            (self.configure, &[Configure]),
            (self.update_signals, &[UpdateSignals]),
            (self.administer, &[Administer]),
            (view_video, &[ViewLive, ViewRecordings]),
            (admin_users, &[Administer]),
        ];
        for (_, granted) in words.iter().filter(|(said, _)| *said == Some(true)) {
            granted.iter().for_each(|p| to.insert(*p));
        }
        for (_, taken) in words.iter().filter(|(said, _)| *said == Some(false)) {
            taken.iter().for_each(|p| to.remove(*p));
        }
        to
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Permission::*;

    /// Every set there is.
    fn sets() -> impl Iterator<Item = Permissions> {
        (0..1 << Permission::ALL.len()).map(Permissions::from_bits)
    }

    fn patch(json: &str) -> Result<PermissionsPatch, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn bits_are_what_older_databases_hold() {
        let bits: Vec<_> = Permission::ALL.iter().map(|p| p.bit()).collect();
        assert_eq!(bits, [1, 2, 4, 8, 16, 32, 64]);
        assert_eq!(Permissions::all().bits(), 127);
        assert_eq!(Permissions::from_bits(u32::MAX), Permissions::all());
        for set in sets() {
            assert_eq!(Permissions::from_bits(set.bits()), set);
        }
    }

    #[test]
    fn a_damaged_number_grants_nothing_that_it_does_not_say() {
        for bits in 0..128 {
            assert_eq!(Permissions::from_bits(bits).bits() & !bits, 0);
        }
        assert_eq!(Permissions::from_bits(Export.bit()), Permissions::NONE);
    }

    #[test]
    fn a_set_always_holds_what_its_members_include() {
        for set in sets() {
            for p in Permission::ALL {
                let (mut more, mut less) = (set, set);
                more.insert(p);
                less.remove(p);
                assert!(more.has(p) && !less.has(p));
                for s in [set, more, less, set.intersection(less)] {
                    assert!(!s.has(Export) || s.has(ViewRecordings), "{s:?}");
                    assert!(!s.has(Configure) || s.has(ReadCameraConfigs), "{s:?}");
                }
            }
        }
    }

    #[test]
    fn both_vocabularies_are_told() {
        let told = |set: Permissions| serde_json::to_value(set).unwrap();
        let all = told(Permissions::all());
        let keys = all.as_object().unwrap();
        assert_eq!(keys.len(), 9);
        assert!(keys.values().all(|v| v == true));
        let live = told(Permissions::from_iter([ViewLive]));
        assert_eq!(live["viewLive"], true);
        assert_eq!(live["viewVideo"], false, "recordings are missing");
        let older = told(Permissions::from_iter([ViewLive, ViewRecordings]));
        assert_eq!(older["viewVideo"], true);
        assert_eq!(older["export"], false);
        assert_eq!(older["adminUsers"], false);
    }

    #[test]
    fn older_words_grant_no_more_than_they_say() {
        let granted = |json| patch(json).unwrap().apply(Permissions::NONE);
        assert_eq!(
            granted(r#"{"viewVideo": true}"#),
            Permissions::from_iter([ViewLive, ViewRecordings])
        );
        assert_eq!(
            granted(r#"{"readCameraConfigs": true}"#),
            Permissions::from_iter([ReadCameraConfigs])
        );
        assert_eq!(
            granted(r#"{"updateSignals": true, "adminUsers": true}"#),
            Permissions::from_iter([UpdateSignals, Administer])
        );
    }

    #[test]
    fn what_was_told_and_is_sent_back_changes_nothing() {
        for set in sets() {
            let json = serde_json::to_string(&set).unwrap();
            assert_eq!(patch(&json).unwrap().apply(set), set, "{json}");
            for from in sets() {
                assert_eq!(PermissionsPatch::from(set).apply(from), set);
            }
        }
    }

    #[test]
    fn no_wins_and_takes_away_what_rests_on_it() {
        let after = |json| patch(json).unwrap().apply(Permissions::all());
        let left = after(r#"{"viewVideo": false, "readCameraConfigs": false}"#);
        assert_eq!(left, Permissions::from_iter([UpdateSignals, Administer]));
        let both = patch(r#"{"configure": true, "readCameraConfigs": false}"#).unwrap();
        assert_eq!(both.apply(Permissions::NONE), Permissions::NONE);
        let both = patch(r#"{"administer": false, "adminUsers": true}"#).unwrap();
        assert!(!both.apply(Permissions::all()).has(Administer));
        assert_eq!(after("{}"), Permissions::all());
    }

    #[test]
    fn an_unknown_word_is_an_error_that_names_it() {
        let told = patch(r#"{"viewEverything": true}"#)
            .unwrap_err()
            .to_string();
        assert!(told.contains("viewEverything"), "{told}");
        patch(r#"{"viewLive": 1}"#).unwrap_err();
    }
}
