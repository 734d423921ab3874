//! What happened, line by line: two runs of one seed must agree on it. Keeps the last lines and a digest of all.

use std::collections::VecDeque;

const LINES_MAX: usize = 4_096;

#[derive(Default)]
pub(crate) struct Trace {
    recent: VecDeque<String>,
    digest: u64,
}

impl Trace {
    pub(crate) fn line(&mut self, line: String) {
        for byte in line.bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(7);
        }
        if self.recent.len() == LINES_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(line);
    }

    pub(crate) fn recent(&self) -> Vec<String> {
        self.recent.iter().cloned().collect()
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }
}
