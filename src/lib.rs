//! Moonfire NVR: a network video recorder. Modules in dependency order: each may use those above it.

pub mod time;

pub mod access;
pub mod config;
pub mod h264;

pub mod http;
pub mod rtp;
pub mod rtsp;

pub mod mdns;
pub mod onvif;

pub mod recording;

pub mod db;
pub mod decoder;
pub mod mp4;

pub mod appliance;

pub mod nvr;

pub mod reactor;
pub mod simulated_camera;

pub mod sim;
