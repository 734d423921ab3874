//! What tests of the whole need: the files of the tree, and the real server as a process. The tests are beside this folder.

mod server;
mod tree;

pub use server::Server;
pub use tree::{TreeFile, root, tree_files};
