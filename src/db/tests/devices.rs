//! Devices and tries.

use super::*;
use crate::db::{DeviceRequest, KnownDevice};

fn put(db: &mut Database, request: DeviceRequest) {
    let answer = db.handle(Request::Devices(request));
    assert!(matches!(answer, Ok(Reply::Devices)), "{answer:?}");
}

#[test]
fn devices_are_their_cameras_and_tries_are_remembered() {
    let (mut db, snapshot) = one_camera();
    assert_eq!((snapshot.devices, snapshot.tries), (Vec::new(), Vec::new()));
    let device = |camera, address: &str| KnownDevice {
        camera,
        learned_host: "192.0.2.7".to_owned(),
        address: address.to_owned(),
        endpoint: "urn:uuid:1".to_owned(),
        service: "http://192.0.2.7/onvif/device_service".to_owned(),
    };
    for (camera, address) in [(1, "192.0.2.7"), (1, "192.0.2.8"), (99, "192.0.2.9")] {
        put(&mut db, DeviceRequest::Put(device(camera, address)));
    }
    let name = || "urn:uuid:1".to_owned();
    for (credentials, at) in [([7; 8], 5), ([7; 8], 7), ([8; 8], 8)] {
        let at = Wall90k(at);
        let device = name();
        put(
            &mut db,
            DeviceRequest::Tried {
                device,
                credentials,
                at,
            },
        );
    }
    let (device_name, credentials) = (name(), [8; 8]);
    let took = DeviceRequest::Took {
        device: device_name,
        credentials,
    };
    put(&mut db, took);
    let Ok(Reply::Snapshot(seen)) = db.handle(Request::Snapshot) else {
        panic!()
    };
    assert_eq!(seen.devices, [device(1, "192.0.2.8")]);
    assert_eq!(seen.tries, [(name(), [7; 8])]);
}
