//! What tests of the whole need: the files of the tree, the real server as a process, the engine in a simulated world, and the
//! harnesses that torture both. The tests are beside this folder.

mod plugins;
mod server;
mod tree;
mod world;

pub mod torture;

pub use plugins::{PluginStand, sha256};
pub use server::Server;
pub use tree::{TreeFile, root, tree_files};
pub use world::{Doubles, Log, Process, SimSite, World, WorldPlan, give_way, small_settings};
