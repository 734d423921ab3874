//! Which log belongs to which storage, from where they lie. Depends on nothing but the two lists and their order.

use crate::location::Location;

/// For each storage the number of its log: the one in the same folder; else the one that shares the longest way from the top,
/// at least that to the folder of one of the two; else the next one of those that are left, in order.
pub(crate) fn pair(storages: &[Location], logs: &[Location]) -> Vec<Option<usize>> {
    let mut near: Vec<(usize, usize, usize)> = Vec::new();
    for (s, storage) in storages.iter().enumerate() {
        near.extend(logs.iter().enumerate().filter_map(|(l, log)| nearness(storage, log).map(|score| (score, s, l))));
    }
    near.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));

    let mut chosen: Vec<Option<usize>> = vec![None; storages.len()];
    let mut taken = vec![false; logs.len()];
    for (_, s, l) in near {
        if chosen[s].is_none() && !taken[l] {
            chosen[s] = Some(l);
            taken[l] = true;
        }
    }
    let mut left = (0..logs.len()).filter(|l| !taken[*l]);
    for place in chosen.iter_mut().filter(|place| place.is_none()) {
        *place = left.next();
    }
    chosen
}

/// Larger is nearer; `None` when where they lie says nothing.
fn nearness(storage: &Location, log: &Location) -> Option<usize> {
    let shared = storage.shared_depth(log)?;
    let (a, b) = (storage.parent_depth(), log.parent_depth());
    let same_folder = a == b && shared >= a;
    if same_folder {
        return Some(usize::MAX);
    }
    (shared > 0 && shared >= a.min(b)).then_some(shared)
}
