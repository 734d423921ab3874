//! The port's suite over both logs and both codecs, on simulated media.

mod codecs;
mod files;
mod fixtures;
mod objects;
mod world;
