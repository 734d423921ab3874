//! How a manifest is written.
