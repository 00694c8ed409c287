//! A simulated camera on the network: where it is, how it can be reached, and what its connections
//! share.

use crate::db::StreamKind;
use crate::sim::random::Random;
use crate::sim::scenario::{CameraPlan, PASSWORD, StreamPlan, USERNAME};
use crate::sim::witness::Witness;
use crate::simulated_camera::misbehave::{Effect, Fault, Kind};
use crate::simulated_camera::{Authentication, Config, Scheme, Source, StreamConfig, Synthetic};
use crate::time::Monotonic;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// The UDP ports that cameras send RTP and RTCP from.
pub const UDP_PORTS: (u16, u16) = (6970, 6971);

/// The port that cameras listen on.
pub const RTSP_PORT: u16 = 554;

/// How a camera can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Reachable,
    /// Its address answers, its port does not.
    Refuses,
    /// A router says that there is nothing.
    Unreachable,
    /// Nothing comes back.
    NeverAnswers,
}

/// A camera.
pub struct Camera {
    pub index: usize,
    pub plan: CameraPlan,
    pub address: IpAddr,
    pub reach: Reach,
    /// Names do not resolve before this time.
    pub lookup_fails_until: Monotonic,
    /// No byte passes before this time, in either direction.
    pub stalled_until: Monotonic,
    /// It is switched off.
    pub off: bool,
    pub flaws: Vec<Fault>,
    pub config: Arc<Config>,
    /// How often it was switched on.
    pub power_on: u32,
    scheme: Scheme,
    seed: u64,
}

impl Camera {
    /// A camera that is switched on at `now`.
    pub fn new(index: usize, plan: &CameraPlan, random: &mut Random) -> Camera {
        Camera {
            index,
            plan: plan.clone(),
            address: address(index, 0),
            reach: Reach::Reachable,
            lookup_fails_until: Monotonic(0),
            stalled_until: Monotonic(0),
            off: false,
            flaws: plan.flaws.clone(),
            config: Arc::new(Config::default()),
            power_on: 0,
            scheme: random.pick(&[Scheme::Basic, Scheme::Md5, Scheme::Sha256]),
            seed: random.next_u64(),
        }
    }

    /// Switches it on, with the flaws it now has. Its pictures are others than before.
    pub fn switch_on(&mut self, now: Monotonic, witness: &mut Witness) {
        self.off = false;
        self.power_on += 1;
        let drift = self.flaws.iter().find(|f| f.kind == Kind::ClockDrift);
        let ppm = drift.map_or(0, |f| f.number);
        let plan = self.plan.clone();
        let streams = plan.streams().map(|(kind, stream)| {
            let source = self.source(kind, stream);
            let log = witness.streams.entry((self.index, kind)).or_default();
            log.sources.insert(self.power_on, source.clone());
            log.switched_on.insert(self.power_on, (now, ppm));
            StreamConfig {
                path: kind.as_str().to_owned(),
                source: Source::Synthetic(source),
            }
        });
        self.config = Arc::new(Config {
            streams: streams.collect(),
            authentication: Some(Authentication {
                username: USERNAME.to_owned(),
                password: PASSWORD.to_owned(),
                scheme: self.scheme,
            }),
            switched_on: now,
            udp_ports: Some(UDP_PORTS),
            faults: self.flaws.iter().copied().collect(),
            ..Config::default()
        });
    }

    fn source(&self, kind: StreamKind, plan: &StreamPlan) -> Synthetic {
        let stream = kind as u64 + 1;
        let change = self.flaws.iter().find(|f| f.kind == Kind::ChangeParameters);
        Synthetic {
            seed: self.seed ^ (u64::from(self.power_on) << 8) ^ stream.wrapping_mul(0x9e37_79b9),
            width: 160,
            height: 96,
            frame_rate: plan.frame_rate,
            gop_frames: plan.gop_frames,
            sync_bytes: plan.sync_bytes,
            other_bytes: plan.other_bytes,
            change_at: change.map(|f| f.number.unsigned_abs()),
        }
    }

    /// All that it sends ought to be recorded.
    pub fn is_strict(&self) -> bool {
        self.flaws
            .iter()
            .all(|f| f.kind.effect() == Effect::Nothing)
    }

    /// It refuses to be recorded.
    pub fn refuses(&self) -> bool {
        self.flaws
            .iter()
            .any(|f| f.kind.effect() == Effect::Refusal)
    }

    /// Its streams' kinds, in the order of [`Config::streams`].
    pub fn kind_of(&self, stream: usize) -> Option<StreamKind> {
        self.plan.streams().map(|(kind, _)| kind).nth(stream)
    }

    /// It gets another address.
    pub fn readdress(&mut self) {
        let IpAddr::V4(old) = self.address else {
            return;
        };
        self.address = address(self.index, old.octets()[3].wrapping_add(1));
    }
}

fn address(index: usize, last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, index as u8, last))
}
