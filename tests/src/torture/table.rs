//! The table that every harness fills a row of. A row that found something, or did not really run, fails the whole.

use std::fmt::Write;

use super::ledger::{Violation, Wrong};

/// Violations that are told in full; the others are only counted.
const TOLD_MAX: usize = 24;

/// What one harness did.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// The sub-command.
    pub name: String,
    /// Histories, rounds or cases.
    pub runs: u64,
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// Crashes or faults that really happened.
    pub faults: u64,
    /// Crashes or faults without which the harness has not really run.
    pub faults_min: u64,
    /// Why it was not run at all.
    pub skipped: Option<String>,
    /// Why it could not go on.
    pub broken: Option<String>,
    /// How long it took.
    pub seconds: f64,
    /// What else is worth telling.
    pub notes: Vec<String>,
    lost: u64,
    duplicated: u64,
    resurrected: u64,
    other: u64,
    told: Vec<String>,
}

impl Row {
    /// An empty row.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// A row of a harness that this machine does not allow.
    pub fn skipped(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self { skipped: Some(why.into()), ..Self::new(name) }
    }

    /// A row of a harness that could not begin.
    pub fn broken(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self { broken: Some(why.into()), ..Self::new(name) }
    }

    /// Counts a violation; `place` says how to find it again.
    pub fn violation(&mut self, place: &str, violation: &Violation) {
        match violation.wrong {
            Wrong::Lost => self.lost += 1,
            Wrong::Duplicated => self.duplicated += 1,
            Wrong::Resurrected => self.resurrected += 1,
            Wrong::Other => self.other += 1,
        }
        let of_this_place = self.told.iter().filter(|told| told.contains(&format!("({place})"))).count();
        if self.told.len() < TOLD_MAX && of_this_place < 2 {
            self.told.push(format!("{:?} ({place}): {}", violation.wrong, violation.what));
        }
    }

    /// Adds what another part of the same harness did.
    pub fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.acknowledged += other.acknowledged;
        self.faults += other.faults;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.resurrected += other.resurrected;
        self.other += other.other;
        self.broken = self.broken.take().or(other.broken);
        self.notes.extend(other.notes);
        let room = TOLD_MAX.saturating_sub(self.told.len());
        self.told.extend(other.told.into_iter().take(room));
    }

    /// How many violations there were.
    pub fn violations(&self) -> u64 {
        self.lost + self.duplicated + self.resurrected + self.other
    }

    /// Why this row fails the whole; `None` where it does not.
    pub fn failure(&self) -> Option<String> {
        if self.skipped.is_some() {
            return None;
        }
        if let Some(broken) = &self.broken {
            return Some(format!("could not go on: {broken}"));
        }
        if self.violations() > 0 {
            return Some(format!("{} violations", self.violations()));
        }
        if self.faults < self.faults_min.max(1) || self.acknowledged == 0 {
            return Some(format!("did not really run: {} faults of {}, {} writes", self.faults, self.faults_min, self.acknowledged));
        }
        None
    }

    /// Every violation that was told.
    pub fn told(&self) -> &[String] {
        &self.told
    }

    fn cells(&self) -> [String; 9] {
        if self.skipped.is_some() {
            let mut cells = std::array::from_fn(|_| "-".to_owned());
            cells[0] = format!("{} SKIPPED", self.name);
            return cells;
        }
        let counts = [self.runs, self.acknowledged, self.faults, self.lost, self.duplicated, self.resurrected, self.other];
        let mut cells = std::array::from_fn(|_| String::new());
        cells[0].clone_from(&self.name);
        for (cell, count) in cells[1..].iter_mut().zip(counts) {
            *cell = count.to_string();
        }
        cells[8] = format!("{:.0}", self.seconds);
        cells
    }
}

const HEADER: [&str; 9] = ["sub-command", "runs", "acknowledged", "faults", "lost", "duplicated", "resurrected", "other", "seconds"];

/// The rows as text, with what was found and what is worth telling below.
pub fn text(rows: &[Row]) -> String {
    let cells: Vec<_> = rows.iter().map(Row::cells).collect();
    let width = |i: usize| cells.iter().map(|c| c[i].len()).chain([HEADER[i].len()]).max().unwrap_or(0);
    let line = |cells: &[String; 9]| {
        let padded =
            cells.iter().enumerate().map(|(i, c)| if i == 0 { format!("{c:<0$}", width(i)) } else { format!("{c:>0$}", width(i)) });
        padded.collect::<Vec<_>>().join("  ")
    };
    let mut out = line(&HEADER.map(str::to_owned));
    for row in &cells {
        out.push('\n');
        out.push_str(&line(row));
    }
    for row in rows {
        let told = row.told.iter().map(|t| format!("VIOLATION {}: {t}", row.name));
        let skipped = row.skipped.iter().map(|why| format!("SKIPPED {}: {why}", row.name));
        let failed = row.failure().into_iter().map(|why| format!("FAILED {}: {why}", row.name));
        let notes = row.notes.iter().map(|n| format!("{}: {n}", row.name));
        for told in skipped.chain(notes).chain(told).chain(failed) {
            // Writing to a String cannot fail.
            let _ = write!(out, "\n{told}");
        }
    }
    out
}

/// The rows as an AsciiDoc table.
pub fn asciidoc(rows: &[Row]) -> String {
    let mut out = String::from("[cols=\"2,1,1,1,1,1,1,1,1\",options=\"header\"]\n|===\n");
    for cells in std::iter::once(HEADER.map(str::to_owned)).chain(rows.iter().map(Row::cells)) {
        out.push('|');
        out.push_str(&cells.join(" |"));
        out.push('\n');
    }
    out.push_str("|===\n");
    out
}
