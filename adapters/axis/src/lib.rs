//! AXIS: the vector indexes of one segment, exact and graph, and the built-in metrics they order by. Refuses to know segments'
//! files, collections, requests and the engine: it sees rows of f32, bitmaps and bytes.

mod aligned;
mod beam;
mod builder;
mod builtin;
mod codes;
mod extend;
mod flat;
mod graph;
mod heads;
mod layers;
mod own;
mod pool;
mod recall;
mod reranked;
mod scan;
mod scratch;
mod select;
mod sidecar;

pub use builtin::{BuiltinMetric, BuiltinScorer};
pub use flat::{FlatFactory, FlatIndex};
pub use graph::{GraphFactory, GraphIndex};
pub use own::{OwnGraphFactory, OwnGraphIndex};
pub use reranked::{RerankedFactory, RerankedIndex};
