//! The growing end of a log: where the next group goes. Orders nothing and wakes nobody; the group writer does.

use async_trait::async_trait;
use bytes::Bytes;
use proximadb_model::frame::{Header, Kind, LogId, Place, Scan};
use proximadb_ports::PortError;

/// A batch that waits for its group: the header still without its place, and the rest.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) header: Header,
    pub(crate) key: String,
    pub(crate) payload: Bytes,
}

/// What a tail did with a group, whether it failed or not.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Files of other writers that were found on the way, with their sizes.
    pub(crate) found: Vec<(u32, u64, Scan)>,
    /// The file that was written or touched, with its bytes now.
    pub(crate) file: Option<(u32, u64)>,
    /// The file before it, where it was ended with a mark, with its bytes.
    pub(crate) ended: Option<(u32, u64)>,
    /// The group's frames as they lie in the file; empty when it failed.
    pub(crate) headers: Vec<Header>,
    /// Whether it is in two copies.
    pub(crate) mirrored: bool,
    /// Why the group is not durable.
    pub(crate) failure: Option<PortError>,
}

/// The end of a log on some medium.
#[async_trait]
pub(crate) trait Tail: Send {
    /// Makes a group durable, in one step for all its batches; a group without batches only says that this writer is here.
    async fn write(&mut self, group: &[Pending]) -> Outcome;

    /// Writes down how far the log is durable, where that is of use to a later recovery.
    async fn idle(&mut self) -> Outcome;

    /// Whether the next group is to be written in two copies.
    fn mirrors(&self) -> bool {
        false
    }

    /// The file that may still grow.
    fn active(&self) -> Option<u32>;
}

/// The parts of a file or of what is appended to it.
pub(crate) struct Parts {
    pub(crate) parts: Vec<Bytes>,
    pub(crate) headers: Vec<Header>,
    log: LogId,
    durable: Place,
    at: Place,
}

impl Parts {
    /// Parts that begin at `at`, in a file with this number of its own, while the log is known durable up to `durable`.
    pub(crate) fn new(log: LogId, at: Place, durable: Place) -> Self {
        Self { parts: Vec::new(), headers: Vec::new(), log, durable, at }
    }

    /// Where the next frame goes.
    pub(crate) fn end(&self) -> Place {
        self.at
    }

    pub(crate) fn bare(&mut self, kind: Kind) {
        self.push(Header::bare(kind, self.log, self.at, self.durable), "", Bytes::new());
    }

    pub(crate) fn batch(&mut self, pending: &Pending) {
        let header = Header { log: self.log, place: self.at, durable: self.durable, ..pending.header };
        self.push(header, &pending.key, pending.payload.clone());
    }

    fn push(&mut self, header: Header, key: &str, payload: Bytes) {
        let (head, trailer) = header.around(key, &payload);
        self.parts.push(head);
        if !payload.is_empty() {
            self.parts.push(payload);
        }
        self.parts.push(Bytes::copy_from_slice(&trailer));
        // A file ends once it is past its bound, and bound, queue and frames together stay far below 4 GiB.
        self.at.offset = self.at.offset.saturating_add(u32::try_from(header.frame_bytes()).unwrap_or(u32::MAX));
        self.headers.push(header);
    }
}
