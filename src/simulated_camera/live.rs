//! A live stream: one thread draws and encodes in real time while somebody watches.

use super::encoder::{Encoder, EncoderError};
use super::network::Clock;
use super::scene::{Place, Scene};
use super::server::Config;
use super::{AccessUnit, ParameterSets};
use crate::time::Duration90k;
use mio::Waker;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// From one sync sample to the next.
const GOP_SECONDS: u32 = 2;

/// A stream to be started.
#[derive(Debug)]
pub struct LiveOptions {
    /// Its index in [`Config::streams`].
    pub index: usize,
    pub place: Place,
    /// The camera's, as shown.
    pub name: String,
    /// In pixels.
    pub size: (u16, u16),
    pub frame_rate: u32,
}

/// Why it could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    #[error("{0}")]
    Encoder(#[from] EncoderError),
    #[error("{0}")]
    Thread(#[from] io::Error),
}

/// What the thread is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Nobody watches.
    Idle,
    Work,
    End,
}

#[derive(Debug)]
struct Orders {
    order: Mutex<Order>,
    changed: Condvar,
}

impl Orders {
    fn lock(&self) -> MutexGuard<'_, Order> {
        // Nothing in between can panic and leave a half-changed order.
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&self, order: Order) {
        let mut current = self.lock();
        if *current != Order::End && *current != order {
            *current = order;
            self.changed.notify_all();
        }
    }

    /// Waits until there is work; `false` at the end. Tells too whether it had to wait.
    fn wait_for_work(&self) -> (bool, bool) {
        let mut waited = false;
        let mut order = self.lock();
        while *order == Order::Idle {
            waited = true;
            order = self
                .changed
                .wait(order)
                .unwrap_or_else(PoisonError::into_inner);
        }
        (*order == Order::Work, waited)
    }

    /// Waits for so long, unless the order changes before.
    fn pause(&self, time: Duration) {
        let order = self.lock();
        let before = *order;
        drop(
            self.changed
                .wait_timeout_while(order, time, |o| *o == before),
        );
    }
}

/// A live stream at work. Its thread ends when this is dropped.
#[derive(Debug)]
pub struct Live {
    parameters: Arc<ParameterSets>,
    orders: Arc<Orders>,
    thread: Option<JoinHandle<()>>,
}

impl Live {
    /// Opens the encoder and starts the thread, idle. `config` gives the camera's clock.
    pub fn start(
        options: LiveOptions,
        config: Config,
        clock: Clock,
        frames: mpsc::SyncSender<(usize, AccessUnit)>,
        waker: Arc<Waker>,
    ) -> Result<Live, LiveError> {
        let (width, height) = options.size;
        let rate = options.frame_rate;
        let encoder = Encoder::open(
            (u32::from(width), u32::from(height)),
            rate,
            rate * GOP_SECONDS,
        )?;
        let parameters = Arc::new(encoder.parameters().clone());
        let orders = Arc::new(Orders {
            order: Mutex::new(Order::Idle),
            changed: Condvar::new(),
        });
        let mut studio = Studio {
            index: options.index,
            scene: Scene::new(
                options.place,
                &options.name,
                (width.into(), height.into()),
                rate,
                jiff::tz::TimeZone::system(),
            ),
            encoder,
            frame_rate: rate,
            config,
            clock,
            parameters: parameters.clone(),
            orders: orders.clone(),
            frames,
            waker,
        };
        let thread = std::thread::Builder::new()
            .name(format!("picture {}", options.name))
            .spawn(move || studio.run())?;
        Ok(Live {
            parameters,
            orders,
            thread: Some(thread),
        })
    }

    pub fn parameters(&self) -> Arc<ParameterSets> {
        self.parameters.clone()
    }

    /// Whether somebody watches.
    pub fn set_demand(&self, wanted: bool) {
        self.orders
            .give(if wanted { Order::Work } else { Order::Idle });
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.orders.give(Order::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread's own.
struct Studio {
    index: usize,
    scene: Scene,
    encoder: Encoder,
    frame_rate: u32,
    config: Config,
    clock: Clock,
    parameters: Arc<ParameterSets>,
    orders: Arc<Orders>,
    frames: mpsc::SyncSender<(usize, AccessUnit)>,
    waker: Arc<Waker>,
}

impl Studio {
    fn run(&mut self) {
        let mut next = 0;
        let mut sync = true;
        loop {
            let (work, waited) = self.orders.wait_for_work();
            if !work {
                return;
            }
            sync |= waited;
            let camera = self.config.camera_time(self.clock.now().monotonic);
            let current = (camera.as_nanos() * u128::from(self.frame_rate) / 1_000_000_000) as u64;
            if current < next {
                let due = self.config.monotonic_of(self.due(next));
                self.orders.pause(due.since(self.clock.now().monotonic));
                continue;
            }
            // Frames for which there was no time are left out.
            next = current + 1;
            match self.make(current, sync) {
                Some(true) => sync = false,
                // No room: frames that refer to this one would be of no use.
                Some(false) => sync = true,
                None => return,
            }
        }
    }

    /// When frame `number` is due by the camera's clock, rounded up.
    fn due(&self, number: u64) -> Duration {
        let nanos = u128::from(number) * 1_000_000_000;
        let nanos = nanos.div_ceil(u128::from(self.frame_rate));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Makes a frame; `Some(false)` if there was no room for it, `None` if there is no going on.
    fn make(&mut self, number: u64, sync: bool) -> Option<bool> {
        let timestamp_90k = Duration90k::from(self.due(number)).0;
        let canvas = self.scene.draw(self.clock.now().wall, number);
        let encoded = match self.encoder.encode(canvas, timestamp_90k, sync) {
            Ok(encoded) => encoded,
            Err(e) => {
                eprintln!(
                    "{}: {e}",
                    std::thread::current().name().unwrap_or("picture")
                );
                return None;
            }
        };
        let unit = AccessUnit {
            number,
            timestamp_90k,
            sync: encoded.sync,
            parameters: self.parameters.clone(),
            nals: encoded.nals,
        };
        match self.frames.try_send((self.index, unit)) {
            Ok(()) => {
                let _ = self.waker.wake();
                Some(true)
            }
            Err(mpsc::TrySendError::Full(_)) => Some(false),
            Err(mpsc::TrySendError::Disconnected(_)) => None,
        }
    }
}
