//! One operation on a key at a time, in the order in which they came. Knows no operation.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The keys that are being worked on, each with those who wait for it.
#[derive(Default)]
pub(crate) struct Turns(Mutex<HashMap<String, VecDeque<oneshot::Sender<Turn>>>>);

/// The sole right to work on a key; dropping it gives it to the next in line.
pub(crate) struct Turn {
    turns: Arc<Turns>,
    key: String,
}

impl Turns {
    fn lines(&self) -> MutexGuard<'_, HashMap<String, VecDeque<oneshot::Sender<Turn>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(self: &Arc<Self>, key: &str) -> Turn {
        Turn { turns: Arc::clone(self), key: key.to_owned() }
    }

    /// Waits for the key.
    ///
    /// # Cancellation
    /// Leaves the line; a turn that was just given goes on to the next.
    pub(crate) async fn take(self: &Arc<Self>, key: &str) -> Turn {
        loop {
            let waiting = {
                let mut lines = self.lines();
                match lines.get_mut(key) {
                    Some(line) => {
                        let (sender, receiver) = oneshot::channel();
                        line.push_back(sender);
                        receiver
                    }
                    None => {
                        lines.insert(key.to_owned(), VecDeque::new());
                        return self.turn(key);
                    }
                }
            };
            if let Ok(turn) = waiting.await {
                return turn;
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = {
            let mut lines = self.turns.lines();
            let next = lines.get_mut(&self.key).and_then(VecDeque::pop_front);
            if next.is_none() {
                lines.remove(&self.key);
            }
            next
        };
        if let Some(next) = next {
            // Where nobody waits there any more the turn comes back, and going out of scope it goes on to the one after.
            let _ = next.send(self.turns.turn(&self.key));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_key_has_one_turn_at_a_time_and_those_who_left_the_line_are_passed_over() {
        let turns = Arc::new(Turns::default());
        let first = turns.take("a").await;
        assert!(turns.take("b").now_or_never().is_some(), "another key is free");
        let mut leaves = Box::pin(turns.take("a"));
        let mut waits = Box::pin(turns.take("a"));
        assert!((&mut leaves).now_or_never().is_none() && (&mut waits).now_or_never().is_none());
        drop(leaves);
        drop(first);
        let second = waits.as_mut().now_or_never().expect("the next in line");
        assert!(turns.take("a").now_or_never().is_none(), "taken again");
        drop(second);
        assert!(turns.lines().is_empty(), "nothing is kept of keys that nobody works on");
        drop(turns.take("a").now_or_never().expect("free"));
    }

    #[tokio::test]
    async fn a_turn_that_was_given_to_one_who_left_goes_on() {
        let turns = Arc::new(Turns::default());
        let first = turns.take("a").await;
        let mut leaves = Box::pin(turns.take("a"));
        let mut waits = Box::pin(turns.take("a"));
        assert!((&mut leaves).now_or_never().is_none() && (&mut waits).now_or_never().is_none());
        drop(first);
        drop(leaves);
        assert!(waits.now_or_never().is_some());
    }
}
