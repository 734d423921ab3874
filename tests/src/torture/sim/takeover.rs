//! Two servers over one bucket: whoever wrote last has the shards, and nothing that either acknowledged is lost.

use std::sync::Arc;

use proximadb_ports::Database;

use super::history::{LIFE_MAX, Stage, Tale};
use crate::world::give_way;

const ROUNDS: u64 = 8;

/// Starts a second server beside the first while both have a client, then cuts both off and judges.
pub(super) async fn play(stage: &mut Stage, tale: &mut Tale) {
    for round in 0..ROUNDS {
        let first = stage.world.engine();
        let books = stage.books.clone();
        let mut tasks = vec![tokio::spawn(stage.client(Arc::clone(&first) as Arc<dyn Database>, &books[0]).work())];
        stage.world.operations(stage.random.below(60), LIFE_MAX).await;
        let second = stage.world.start().await;
        tale.takeovers += 1;
        tasks.push(tokio::spawn(stage.client(Arc::clone(&second.engine) as Arc<dyn Database>, &books[1]).work()));
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
