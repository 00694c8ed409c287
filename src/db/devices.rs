//! Devices: what the cameras are known by on the network, and which user names and passwords were tried on
//! which device.

use super::{Database, Error};
use crate::time::Wall90k;
use rusqlite::{Connection, params};

/// The most tries that are remembered; past it the oldest are forgotten. A new device and a new password make
/// one each.
pub const MAX_TRIES: u32 = 4_000;

/// What a camera is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownDevice {
    /// The camera's row.
    pub camera: i32,
    /// The host in its URLs when this was learned.
    pub learned_host: String,
    /// Where it was last seen.
    pub address: String,
    pub endpoint: String,
    /// The URL of its device service.
    pub service: String,
}

/// A short hash of a user name and password, as they were tried on one device.
pub type TriedCredentials = [u8; 8];

/// What is to be noted of devices. Each is one transaction.
#[derive(Debug)]
pub enum DeviceRequest {
    /// What a camera is known by. One of a camera that is gone is passed over.
    Put(KnownDevice),
    /// A user name and password are about to be tried.
    Tried {
        device: String,
        credentials: TriedCredentials,
        at: Wall90k,
    },
    /// They were taken, or never shown: they may be tried again.
    Took {
        device: String,
        credentials: TriedCredentials,
    },
}

impl Database {
    pub(super) fn devices(&mut self, request: DeviceRequest) -> Result<(), Error> {
        let tx = self.transaction()?;
        match request {
            DeviceRequest::Put(device) => {
                tx.execute(
                    "insert into device (camera_id, learned_host, address, endpoint, service)
                     select id, ?2, ?3, ?4, ?5 from camera where id = ?1
                     on conflict (camera_id) do update set learned_host = excluded.learned_host,
                       address = excluded.address, endpoint = excluded.endpoint,
                       service = excluded.service",
                    params![
                        device.camera,
                        device.learned_host,
                        device.address,
                        device.endpoint,
                        device.service
                    ],
                )?;
            }
            DeviceRequest::Tried {
                device,
                credentials,
                at,
            } => {
                tx.execute(
                    "insert into device_try (device, credentials, tried_90k) values (?1, ?2, ?3)
                     on conflict do update set tried_90k = excluded.tried_90k",
                    params![device, credentials, at.0],
                )?;
                tx.execute(
                    "delete from device_try where (device, credentials) in (
                       select device, credentials from device_try order by tried_90k desc
                       limit -1 offset ?1)",
                    [MAX_TRIES],
                )?;
            }
            DeviceRequest::Took {
                device,
                credentials,
            } => {
                tx.execute(
                    "delete from device_try where device = ?1 and credentials = ?2",
                    params![device, credentials],
                )?;
            }
        }
        Ok(tx.commit()?)
    }
}

pub(super) fn known(connection: &Connection) -> Result<Vec<KnownDevice>, Error> {
    let mut select = connection.prepare_cached(
        "select camera_id, learned_host, address, endpoint, service from device order by camera_id",
    )?;
    let rows = select.query_map([], |r| {
        Ok(KnownDevice {
            camera: r.get(0)?,
            learned_host: r.get(1)?,
            address: r.get(2)?,
            endpoint: r.get(3)?,
            service: r.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn tries(connection: &Connection) -> Result<Vec<(String, TriedCredentials)>, Error> {
    let mut select = connection.prepare_cached("select device, credentials from device_try")?;
    let rows = select.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
