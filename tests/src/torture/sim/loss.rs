//! A disk that is gone for good, with everything on it: what was acknowledged comes back from the second copies. And shards on the
//! move while the power goes.

use std::sync::Arc;
use std::time::Duration;

use proximadb_ports::{Clock, Database};
use proximadb_sim::SimClock;

use super::history::{Stage, Tale};
use crate::torture::ledger::{Violation, Wrong};
use crate::world::give_way;

/// Looks at the tasks before one counts as stuck.
const LOOKS_MAX: usize = 900;
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Destroys a site in the middle of writes, brings its shards back on another one, and judges.
pub(super) async fn play(stage: &mut Stage, tale: &mut Tale) {
    let clock = SimClock::of_tokio();
    if !in_step(stage).await {
        let sites = stage.world.engine().sites().await;
        let told: Vec<_> = sites.iter().map(|site| (site.instance, &site.state, &site.mirror, &site.log_copies)).collect();
        let what = format!("second copies are not complete although nothing is wrong: {told:?}");
        return tale.found([Violation::new(Wrong::Other, what)]);
    }
    let books = stage.books.clone();
    let engine = stage.world.engine();
    let clients: Vec<_> =
        books.iter().map(|book| tokio::spawn(stage.client(Arc::clone(&engine) as Arc<dyn Database>, book).work())).collect();
    let operations = stage.random.below(120);
    stage.world.operations(operations, Duration::from_millis(500)).await;
    give_way(stage.random.below(8)).await;
    stage.world.cut().await;
    tale.crashes += 1;
    for client in clients {
        client.abort();
        // A panic was counted where it happened.
        let _ = client.await;
    }
    let lost = stage.random.below(stage.world.sites.len() as u64) as usize;
    stage.world.sites[lost].destroy();
    tale.disks_lost += 1;
    stage.world.reopen().await;
    // A drain that goes on after the crash comes to its end first.
    if !done(stage, tale, "drain").await {
        return;
    }
    let engine = stage.world.engine();
    match engine.fail_over(&(lost + 1).to_string()).await {
        Ok(_) => {}
        Err(e) => return tale.found([Violation::new(Wrong::Lost, format!("site {} is lost and cannot be brought back: {e:?}", lost + 1))]),
    }
    if !done(stage, tale, "fail over").await {
        return;
    }
    stage.judge_all("a disk is lost", tale).await;
    // What was brought back stays, and the loss is still told.
    stage.world.cut().await;
    tale.crashes += 1;
    stage.world.reopen().await;
    stage.judge_all("a disk is lost, after another crash", tale).await;
    clock.sleep(Duration::from_millis(10)).await;
}

/// Drains a site or evens out while clients write, cuts the power somewhere in between, and judges.
pub(super) async fn play_moves(stage: &mut Stage, tale: &mut Tale) {
    let rounds = 1 + stage.random.below(3);
    for round in 0..rounds {
        let books = stage.books.clone();
        let engine = stage.world.engine();
        let clients: Vec<_> =
            books.iter().map(|book| tokio::spawn(stage.client(Arc::clone(&engine) as Arc<dyn Database>, book).work())).collect();
        let operations = stage.random.below(20);
        stage.world.operations(operations, Duration::from_millis(200)).await;
        let site = (1 + stage.random.below(stage.world.sites.len() as u64)).to_string();
        let began = match stage.random.below(3) {
            0 => engine.rebalance().await.map(|_| ()),
            1 => engine.cancel_drain(&site).await,
            _ => engine.drain_site(&site).await.map(|_| ()),
        };
        tale.moves += u64::from(began.is_ok());
        let operations = stage.random.below(150);
        stage.world.operations(operations, Duration::from_millis(500)).await;
        give_way(stage.random.below(8)).await;
        stage.world.cut().await;
        tale.crashes += 1;
        for client in clients {
            client.abort();
            // A panic was counted where it happened.
            let _ = client.await;
        }
        stage.world.reopen().await;
        stage.check(&format!("move {round}"), tale).await;
        if !tale.violations.is_empty() {
            return;
        }
    }
    // Left alone, every drain comes to its end.
    if done(stage, tale, "drain").await {
        stage.check("after the moves", tale).await;
    }
}

async fn in_step(stage: &Stage) -> bool {
    let clock = SimClock::of_tokio();
    for _ in 0..LOOKS_MAX {
        let sites = stage.world.engine().sites().await;
        let complete = |text: &Option<String>| text.as_deref() == Some(proximadb_ports::IN_STEP);
        if sites.iter().all(|site| complete(&site.mirror) && complete(&site.log_copies)) {
            return true;
        }
        clock.sleep(LOOK_EVERY).await;
    }
    false
}

/// Whether all tasks have ended, and well.
async fn done(stage: &Stage, tale: &mut Tale, what: &str) -> bool {
    let clock = SimClock::of_tokio();
    for _ in 0..LOOKS_MAX {
        let tasks = stage.world.engine().tasks().await;
        if tasks.iter().all(|task| task.state != "running") {
            // A drain may find no other site; that is said, and nothing is lost by it.
            let failed: Vec<_> = tasks.iter().filter(|task| task.state == "failed" && task.kind == "fail_over").collect();
            if failed.is_empty() {
                return true;
            }
            tale.found([Violation::new(Wrong::Lost, format!("{what} failed: {failed:?}"))]);
            return false;
        }
        clock.sleep(LOOK_EVERY).await;
    }
    tale.found([Violation::new(Wrong::Other, format!("{what} does not come to an end: {:?}", stage.world.engine().tasks().await))]);
    false
}
