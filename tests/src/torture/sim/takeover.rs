//! Two servers over one bucket: whoever wrote last has the shards, and nothing that either acknowledged is lost.

use std::sync::Arc;
use std::time::Duration;

use proximadb_ports::{Clock, Database};
use proximadb_sim::SimClock;

use super::history::{LIFE_MAX, Stage, Tale};
use crate::world::give_way;

const ROUNDS: u64 = 8;
/// After this time without writes nothing is under way any more.
const SETTLED: Duration = Duration::from_secs(5);
const TURNS_MAX: u64 = 200;

/// Lets a second server take over, then has both at work, then cuts both off and judges. Where `racing` is true, the first one is
/// at work already while the second one opens.
pub(super) async fn play(stage: &mut Stage, tale: &mut Tale, racing: bool) {
    for round in 0..ROUNDS {
        let first = stage.world.engine() as Arc<dyn Database>;
        let books = stage.books.clone();
        let mut tasks = vec![tokio::spawn(stage.client(Arc::clone(&first), &books[0]).work())];
        stage.world.operations(stage.random.below(60), LIFE_MAX).await;
        if !racing {
            books[0].pause(true);
            SimClock::of_tokio().sleep(SETTLED).await;
        }
        let second = stage.world.start().await;
        tale.takeovers += 1;
        tasks.push(tokio::spawn(stage.client(Arc::clone(&second.engine) as Arc<dyn Database>, &books[1]).work()));
        if !racing {
            // The second one has the shards with its first write.
            let before = books[1].ledger().acknowledged;
            for _ in 0..TURNS_MAX {
                stage.world.operations(3, LIFE_MAX).await;
                if books[1].ledger().acknowledged > before + 8 {
                    break;
                }
            }
            books[0].pause(false);
        }
        stage.world.operations(stage.random.below(120), LIFE_MAX).await;
        give_way(stage.random.below(8)).await;
        stage.world.cut().await;
        second.executor.shutdown().await;
        tale.crashes += 1;
        for task in tasks {
            task.abort();
            // A panic was counted where it happened.
            let _ = task.await;
        }
        stage.world.reopen().await;
        stage.check(&format!("takeover {round}"), tale).await;
        if !tale.violations.is_empty() {
            return;
        }
    }
}
