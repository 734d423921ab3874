//! A seeded world for tests: a virtual clock, counted identities, tasks on one thread, and a disk and a store that fail on
//! request. The same seed and the same calls give the same trace. Knows neither the engine nor any other adapter.

mod clock;
mod disk;
mod entropy;
mod executor;
mod faults;
mod filesystem;
mod rng;
mod sectors;
mod telemetry;
mod trace;

pub use clock::SimClock;
pub use disk::SimDisk;
pub use entropy::SimEntropy;
pub use executor::SimExecutor;
pub use faults::{Effect, Injection};
pub use filesystem::SimFilesystem;
pub use rng::Rng;
pub use sectors::SECTOR_BYTES;
pub use telemetry::SimTelemetry;
