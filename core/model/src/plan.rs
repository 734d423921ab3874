//! Decisions that need no IO: when to flush, what to compact and index, how to search a segment.

mod compact;
mod flush;
mod memory;
mod room;
mod search;
mod write;

pub use compact::{MaintenanceSettings, SegmentView, Work, next as next_work, wants_graph};
pub use flush::{FlushSettings, is_due as flush_is_due};
pub use memory::{MemoryPlan, MemorySettings, OriginalsPlace, Residence, build_bytes, graph_bytes, plan_memory};
pub use room::{Room, RoomSettings, room_left};
pub use search::{Effort, SegmentFacts, SegmentPlan, Strategy as SearchStrategy, cost as search_cost, plan_segment};
pub use write::{check_request_size, shard_of};
