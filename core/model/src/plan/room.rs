//! When a disk counts as low on room, and when it takes no more records.

/// Free room at which a disk is called low, and at which it takes no more records. On small disks the shares of the whole
/// count, so that a disk of any size has all three states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomSettings {
    /// Bytes below which a disk is low; at most a tenth of the disk.
    pub warn_bytes: u64,
    /// Bytes below which records are refused; at most a twentieth of the disk. What is left serves deletes and compaction.
    pub refuse_bytes: u64,
}

impl Default for RoomSettings {
    fn default() -> Self {
        Self { warn_bytes: 5 << 30, refuse_bytes: 1 << 30 }
    }
}

/// How much room a disk has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// Enough.
    #[default]
    Enough,
    /// Little: somebody should be told.
    Low,
    /// None for records; deletes and compaction go on.
    Full,
}

/// The state of a disk with `free` of `total` bytes, of which `promised` will be needed by what memory holds. A disk that was
/// `before` full has to have half as much room again before it counts as anything else, so that it does not go to and fro.
pub fn room_left(free: u64, total: u64, promised: u64, before: Room, settings: &RoomSettings) -> Room {
    let refuse = settings.refuse_bytes.min(total / 20);
    let warn = settings.warn_bytes.min(total / 10).max(refuse);
    let hold = |limit: u64, state: Room| if before >= state { limit.saturating_add(limit / 2) } else { limit };
    let left = free.saturating_sub(promised);
    if left < hold(refuse, Room::Full) {
        Room::Full
    } else if left < hold(warn, Room::Low) {
        Room::Low
    } else {
        Room::Enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn large_disks_go_by_bytes_and_small_ones_by_shares() {
        let settings = RoomSettings::default();
        let at = |free, total| room_left(free, total, 0, Room::Enough, &settings);
        assert_eq!([at(6 * GIB, 1_000 * GIB), at(4 * GIB, 1_000 * GIB), at(GIB - 1, 1_000 * GIB)], [Room::Enough, Room::Low, Room::Full]);
        assert_eq!([at(11, 100), at(9, 100), at(4, 100)], [Room::Enough, Room::Low, Room::Full]);
    }

    #[test]
    fn what_memory_holds_counts_as_used() {
        let settings = RoomSettings::default();
        assert_eq!(room_left(50, 100, 46, Room::Enough, &settings), Room::Full);
        assert_eq!(room_left(50, 100, 200, Room::Enough, &settings), Room::Full);
    }

    #[test]
    fn a_full_disk_needs_some_more_before_it_takes_records_again() {
        let settings = RoomSettings::default();
        assert_eq!(room_left(6, 100, 0, Room::Full, &settings), Room::Full);
        assert_eq!(room_left(6, 100, 0, Room::Enough, &settings), Room::Low);
        assert_eq!(room_left(8, 100, 0, Room::Full, &settings), Room::Low);
        assert_eq!(room_left(12, 100, 0, Room::Low, &settings), Room::Low);
        assert_eq!(room_left(16, 100, 0, Room::Low, &settings), Room::Enough);
    }
}
