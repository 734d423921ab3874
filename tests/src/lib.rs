//! The tree as the tests of the whole see it. The tests are beside this folder.

mod tree;

pub use tree::{TreeFile, root, tree_files};
