//! The streams that devices offer, looked at by the session that records: whether they come, and a picture.
//! And RTSP servers of which nothing else is known, under the paths that makers use.

use super::device::{Account, Looking, Ready, ReadyStream, State};
use crate::db::StreamKind;
use crate::decoder::{self, THUMBNAIL_QUALITY};
use crate::nvr::Nvr;
use crate::nvr::advice::{self, Facts};
use crate::nvr::camera_test::{Failed, Outcomes, Seen, Target};
use crate::nvr::port::HelperId;
use crate::nvr::web::{PICTURE_WIDTH, seen_without_picture};
use crate::onvif::Report;
use crate::onvif::media::Codec;
use crate::time::{Now, TICKS_PER_SECOND};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::time::Duration;
use url::Url;

/// How soon a look that found no room is begun again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Kinds of failures ([`Failed::kind`]) of an RTSP server that was perhaps shown the account and said neither yes
/// nor no to it.
const SAYS_NEITHER: [&str; 3] = ["silent", "camera", "notRtsp"];

/// Main and sub streams' paths as makers have them, the most common first. A path that is not there costs
/// one request; one that asks for another password ends it.
pub const PATHS: [(&str, Option<&str>); 11] = [
    ("Streaming/Channels/101", Some("Streaming/Channels/102")),
    (
        "cam/realmonitor?channel=1&subtype=0",
        Some("cam/realmonitor?channel=1&subtype=1"),
    ),
    ("h264Preview_01_main", Some("h264Preview_01_sub")),
    ("stream1", Some("stream2")),
    ("axis-media/media.amp", None),
    ("live/ch00_0", Some("live/ch00_1")),
    ("main", Some("sub")),
    ("11", Some("12")),
    ("videoMain", Some("videoSub")),
    ("live", None),
    ("", None),
];

impl Nvr {
    /// Looks at what an interview has found.
    pub(super) fn look_at_offers(&mut self, now: Now, id: u32, account: Account, report: Report) {
        let Some(main) = &report.main else {
            let why = "it tells of no stream".to_owned();
            return self.look_failed(now, id, account, why);
        };
        if main.profile.codec == Codec::H265 {
            let why = advice::h265(None).message;
            return self.look_failed(now, id, account, why);
        }
        let urls = [Some(main), report.sub.as_ref()];
        let urls = urls.into_iter().flatten().map(|s| s.url.clone()).collect();
        self.begin_looking(now, id, account, report, urls, 0);
    }

    /// Looks for what an RTSP server has, path after path.
    pub(super) fn look_at_paths(&mut self, now: Now, id: u32, account: Account) {
        self.look_at_path(now, id, account, 0);
    }

    fn look_at_path(&mut self, now: Now, id: u32, account: Account, path: usize) {
        let Some(device) = self.onboard.devices.get(&id) else {
            return;
        };
        // What multicast DNS tells comes before all of them.
        let own = device.rtsp_path.as_deref().map(|p| (p, None));
        let all: Vec<_> = own.into_iter().chain(PATHS).collect();
        let Some((main, sub)) = all.get(path) else {
            let why = "it speaks RTSP, but has nothing under the paths that makers use: add it by its \
                       url";
            return self.look_failed(now, id, account, why.to_owned());
        };
        let base = format!("rtsp://{}:{}/", device.address, device.rtsp_port);
        let url = |path: &str| Url::parse(&format!("{base}{}", path.trim_start_matches('/'))).ok();
        let urls: Vec<Url> = [Some(*main), *sub]
            .into_iter()
            .flatten()
            .filter_map(url)
            .collect();
        self.begin_looking(now, id, account, Report::default(), urls, path + 1);
    }

    fn begin_looking(
        &mut self,
        now: Now,
        id: u32,
        account: Account,
        report: Report,
        urls: Vec<Url>,
        next_path: usize,
    ) {
        if let Some(device) = self.onboard.devices.get_mut(&id) {
            device.state = State::Looking(Box::new(Looking {
                account,
                report,
                urls,
                next_path,
                begun: false,
            }));
        }
        self.look_more(now);
    }

    /// Begins with looks that wait, as far as there is room.
    pub(super) fn look_more(&mut self, now: Now) {
        self.onboard.look_again_at = None;
        let devices = self.onboard.devices.values();
        let waiting = |s: &State| matches!(s, State::Looking(l) if !l.begun);
        let ids: Vec<u32> = devices
            .filter(|d| waiting(&d.state))
            .map(|d| d.id)
            .collect();
        for id in ids {
            let device = self.onboard.devices.get(&id);
            let Some(State::Looking(looking)) = device.map(|d| &d.state) else {
                continue;
            };
            let kinds = [StreamKind::Main, StreamKind::Sub];
            let targets = kinds.into_iter().zip(&looking.urls).map(|(kind, url)| {
                let target = Target {
                    url: url.clone(),
                    username: looking.account.username.clone(),
                    password: looking.account.password.clone(),
                    transport: Default::default(),
                };
                (kind, target)
            });
            let targets = targets.collect();
            if !self.begin_look(now, id, targets) {
                self.onboard.look_again_at = Some(now.monotonic + LOOK_AGAIN);
                self.wake_at(self.onboard.look_again_at);
                return;
            }
            let device = self.onboard.devices.get_mut(&id);
            if let Some(State::Looking(looking)) = device.map(|d| &mut d.state) {
                looking.begun = true;
            }
        }
    }

    /// A look has ended.
    pub(in crate::nvr) fn looked(&mut self, now: Now, id: u32, outcomes: Outcomes) {
        let Some(device) = self.onboard.devices.get_mut(&id) else {
            return;
        };
        if !matches!(device.state, State::Looking(_)) {
            return;
        }
        let State::Looking(looking) = std::mem::replace(&mut device.state, State::Found) else {
            return;
        };
        let (mut main, mut sub) = (None, None);
        for (kind, outcome) in outcomes {
            match kind {
                StreamKind::Main => main = Some(outcome),
                StreamKind::Sub => sub = Some(outcome),
            }
        }
        let failed = main.as_ref().and_then(|outcome| outcome.as_ref().err());
        let by_rtsp_alone = looking.report.main.is_none();
        if failed.is_some_and(|f| by_rtsp_alone && SAYS_NEITHER.contains(&f.kind)) {
            device.shown_in_vain += 1;
        }
        match main {
            Some(Ok(seen)) => self.looked_well(now, id, *looking, seen, sub),
            Some(Err(failed)) if failed.kind == "password" => {
                let why = match looking.report.main.is_some() {
                    true => format!(
                        "it takes this user name and password for ONVIF, and refuses them for its \
                         streams: {}",
                        failed.message
                    ),
                    false => failed.message,
                };
                self.settle(now, id, State::Refused(why));
            }
            // The next maker's path.
            Some(Err(failed)) if looking.next_path > 0 && failed.kind == "path" => {
                self.look_at_path(now, id, looking.account, looking.next_path);
            }
            Some(Err(failed)) => self.look_failed(now, id, looking.account, failed.message),
            None => {
                let why = "nothing was seen".to_owned();
                self.look_failed(now, id, looking.account, why);
            }
        }
        self.look_more(now);
    }

    /// Nothing came of it, and the account was not refused: what was wrong may be right another time.
    fn look_failed(&mut self, now: Now, id: u32, account: Account, why: String) {
        if let Some(device) = self.onboard.devices.get_mut(&id) {
            device.state = State::Waiting(account);
        }
        self.settle(now, id, State::Failed(why));
    }

    fn looked_well(
        &mut self,
        now: Now,
        id: u32,
        looking: Looking,
        mut main: Seen,
        sub: Option<Result<Seen, Failed>>,
    ) {
        if let Some(sample) = main.key_frame.take() {
            let helper = self.out.helper(decoder::Request::Picture {
                entry: main.entry.clone(),
                sample,
                max_width: PICTURE_WIDTH,
                quality: THUMBNAIL_QUALITY,
            });
            self.onboard.helping.insert(helper, id);
        }
        let sub = sub.and_then(Result::ok);
        let report = looking.report;
        let of = |offer: Option<&crate::onvif::StreamOffer>| offer.map(|o| o.profile.clone());
        let mut facts = main.facts();
        let profile = of(report.main.as_ref());
        // What the camera says of itself is known without watching it for minutes.
        let told = profile.as_ref().and_then(|p| p.key_frame_secs());
        facts.key_frame_secs = facts.key_frame_secs.or(told);
        let sub_facts: Option<Facts> = sub.as_ref().map(Seen::facts);
        let told_clock = report.clock_ahead_secs.map(|s| s as f64);
        let sent_clock = main.clock_offset.map(|d| d.as_secs_f64());
        let clock = told_clock.or(sent_clock);
        let mut advice = advice::advise(Some(&facts), sub_facts.as_ref(), clock);
        let best = report.profiles.iter().max_by_key(|p| p.pixels());
        if best.is_some_and(|b| b.codec == Codec::H265 && b.pixels() > facts.pixels()) {
            advice.push(advice::h265(None));
        }
        let mut urls = looking.urls.into_iter();
        let Some(main_url) = urls.next() else { return };
        let sub = sub.zip(urls.next()).map(|(seen, url)| ReadyStream {
            url,
            profile: of(report.sub.as_ref()),
            seen: seen_without_picture(&seen),
        });
        for one in &advice {
            self.log_of_device(id, "camera-settings", one.message.clone());
        }
        let ready = Ready {
            account: looking.account,
            main: ReadyStream {
                url: main_url,
                profile,
                seen: seen_without_picture(&main),
            },
            sub,
            picture: None,
            clock_offset_90k: clock.map(|s| (s * TICKS_PER_SECOND as f64) as i64),
            advice,
        };
        self.settle(now, id, State::Ready(Box::new(ready)));
    }

    /// The helper has made a picture, or could not; false if it is not one of ours.
    pub(in crate::nvr) fn onboard_helped(
        &mut self,
        id: HelperId,
        result: &Result<decoder::Reply, decoder::Error>,
    ) -> bool {
        let Some(device) = self.onboard.helping.remove(&id) else {
            return false;
        };
        let device = self.onboard.devices.get_mut(&device);
        if let (Some(State::Ready(ready)), Ok(decoder::Reply::Picture(jpeg))) =
            (device.map(|d| &mut d.state), result)
        {
            ready.picture = Some(format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg)));
        }
        true
    }
}
