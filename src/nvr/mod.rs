//! The whole daemon as one state machine without I/O.

pub mod port;
