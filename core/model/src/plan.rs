//! Decisions that need no IO: when to flush, what to compact, how to search.
