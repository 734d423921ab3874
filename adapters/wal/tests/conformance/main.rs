//! The port's suite over both logs and both codecs, on simulated media.

mod codecs;
mod files;
mod fixtures;
mod hanging;
mod mirrored;
mod mirrored_world;
mod objects;
mod world;
