//! Bytes that change behind everybody's back: what is read then is right, or a typed error; and nothing is given up for good,
//! so that with the bytes put back everything is there.

use std::time::Duration;

use proximadb_ports::{Clock, Database, Fault};
use proximadb_sim::{SECTOR_BYTES, SimClock};

use super::check::{Finding, cross_check, judge, read_all};
use super::history::{Stage, Tale};
use crate::torture::ledger::{Violation, Wrong};
use crate::torture::random::Random;

/// Where damage strikes.
enum Target {
    Log(String),
    Object(String),
}

/// Damages one thing after the other, each alone.
pub(super) async fn play(stage: &mut Stage, tale: &mut Tale) {
    let clock = SimClock::of_tokio();
    let rounds = 1 + stage.random.below(3);
    for _ in 0..rounds {
        if stage.world.is_mirrored() {
            // Damage in one copy can be healed once there are two.
            clock.sleep(Duration::from_secs(15)).await;
        }
        // The log must be quiet and say how far it is durable: without that word nobody can tell damage from a torn tail. A start
        // says it where a cut took the word away.
        clock.sleep(Duration::from_secs(1)).await;
        stage.world.cut().await;
        stage.world.reopen().await;
        stage.world.cut().await;
        tale.crashes += 2;
        let Some((site, target)) = choose(stage) else { return };
        let Some((saved, how)) = damage(stage, site, &target) else { continue };
        let place = format!("{how} of {}", target.name());
        tale.damages += 1;
        stage.world.reopen().await;
        let refused = judge_damaged(stage, &place, tale).await;
        tale.damages_refused += u64::from(refused);
        if stage.world.is_mirrored() && target.has_second_copy() {
            tale.repairs += 1;
            if refused {
                tale.found([Violation::new(Wrong::Other, format!("{place} was refused although there is a second copy"))]);
            }
        }
        stage.world.cut().await;
        tale.crashes += 1;
        restore(stage, site, &target, saved);
        stage.world.reopen().await;
        clock.sleep(Duration::from_millis(100)).await;
        stage.check(&format!("{place} was damaged and is whole again"), tale).await;
        if !tale.violations.is_empty() {
            return;
        }
    }
}

impl Target {
    /// Whether a site keeps a second copy of this elsewhere.
    fn has_second_copy(&self) -> bool {
        match self {
            Self::Log(_) => true,
            Self::Object(key) => key.starts_with("shards/"),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Log(name) => format!("log file {name}"),
            Self::Object(key) => format!("object {key}"),
        }
    }
}

fn choose(stage: &mut Stage) -> Option<(usize, Target)> {
    let site = stage.random.below(stage.world.sites.len() as u64) as usize;
    let there = &stage.world.sites[site];
    let mut targets: Vec<Target> = there.filesystem.keys().into_iter().map(Target::Object).collect();
    let logs = there.disk.names();
    // As likely as an object, however few there are.
    if !logs.is_empty() && stage.random.one_in(2) {
        targets = logs.into_iter().map(Target::Log).collect();
    }
    if targets.is_empty() {
        return None;
    }
    let at = stage.random.below(targets.len() as u64) as usize;
    Some((site, targets.swap_remove(at)))
}

/// Flips a bit, or puts a sector where it does not belong; gives what was there before. `None` where nothing changed.
fn damage(stage: &mut Stage, site: usize, target: &Target) -> Option<(Vec<u8>, String)> {
    let there = &stage.world.sites[site];
    let random = &mut stage.random;
    let mut saved = None;
    match target {
        Target::Log(name) => there.disk.damage(name, |bytes| saved = strike(bytes, random, true)),
        Target::Object(key) => there.filesystem.damage(key, |bytes| saved = strike(bytes, random, false)),
    };
    saved
}

fn strike(bytes: &mut [u8], random: &mut Random, log: bool) -> Option<(Vec<u8>, String)> {
    let mut how = String::new();
    let before = bytes.to_vec();
    let sectors = bytes.len() / SECTOR_BYTES;
    // A sector of a log that holds its last frames and the word that they are durable cannot be told from a torn tail.
    let movable = if log { sectors.saturating_sub(2) } else { sectors };
    if movable > 1 && random.one_in(3) {
        let (from, to) = (random.below(sectors as u64) as usize, random.below(movable as u64) as usize);
        how = format!("sector {to}, now a copy of {from},");
        bytes.copy_within(from * SECTOR_BYTES..(from + 1) * SECTOR_BYTES, to * SECTOR_BYTES);
    } else if !bytes.is_empty() {
        let at = random.below(bytes.len() as u64) as usize;
        how = format!("byte {at} of {}", bytes.len());
        bytes[at] ^= 1 << random.below(8);
    }
    (before != bytes).then_some((before, how))
}

fn restore(stage: &mut Stage, site: usize, target: &Target, saved: Vec<u8>) {
    let there = &stage.world.sites[site];
    // What the server has removed meanwhile, it needs no longer.
    match target {
        Target::Log(name) => there.disk.damage(name, |bytes| *bytes = saved),
        Target::Object(key) => there.filesystem.damage(key, |bytes| *bytes = saved),
    };
}

/// Whether something was refused; a violation where something wrong was served.
async fn judge_damaged(stage: &mut Stage, place: &str, tale: &mut Tale) -> bool {
    let engine = stage.world.engine();
    let mut refused = false;
    let typed = |fault: Fault| matches!(fault, Fault::Corrupt | Fault::Unavailable);
    let told = |error: &proximadb_ports::PortError| Violation::new(Wrong::Other, format!("with {place} damaged: {error:?}"));
    match read_all(&*engine, &stage.collection).await {
        Ok(visible) => {
            let found = judge(&stage.books, &visible, stage.shards, false);
            tale.found(found.into_iter().map(|v| Violation { what: format!("with {place} damaged: {}", v.what), ..v }));
            match cross_check(&*engine, &stage.collection, &visible, &mut stage.random).await {
                Ok(()) => {}
                Err(Finding::Error(e)) if typed(e.fault) => refused = true,
                Err(Finding::Error(e)) => tale.found([told(&e)]),
                Err(finding) => tale.finding(&format!("with {place} damaged"), finding),
            }
        }
        Err(Finding::Error(e)) if typed(e.fault) => refused = true,
        // With no shard left to say so, nobody knows the collection; then the health must tell.
        Err(Finding::Error(e)) if e.fault == Fault::NotFound && !engine.health().await.problems.is_empty() => refused = true,
        Err(Finding::Error(e)) => tale.found([told(&e)]),
        Err(finding) => tale.finding(&format!("with {place} damaged"), finding),
    }
    refused
}
