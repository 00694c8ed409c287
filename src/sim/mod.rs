//! The whole daemon in a seeded world: virtual time, faulty network, disks, clock and database, and the
//! checkers that look for anything lost, wrong or without bound.
//!
//! Everything follows from one seed and replays exactly. The world drives any [`crate::nvr::port::Core`];
//! it does no I/O and never waits: its time jumps to the next thing that happens.
//!
//! What it refuses to model: the reactor, system calls and threads (the reactor has tests of its own), and
//! SQLite's files (the database is real, but in memory: answered means durable). See
//! `design/simulation.md`.

pub mod agenda;
pub mod checkers;
pub mod clock;
pub mod database;
pub mod disk;
pub mod helper;
pub mod lan;
pub mod monitor;
pub mod network;
pub mod random;
pub mod rows;
pub mod scenario;
pub mod trace;
pub mod viewers;
pub mod witness;
pub mod world;
