//! The suite of the assigner port: one property a guarantee, for built-in strategies and plugins alike.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::{Assigner, Fault, Result};
use proximadb_model::{CollectionId, DiskKind, ShardId, SiteId, SiteMap, SiteView, Subject, Uid};

const CASES: u32 = 64;

/// Runs every property of the port.
///
/// # Panics
/// When a guarantee does not hold; the message has the input that shows it.
pub fn run(assigner: &dyn Assigner) {
    g1_the_same_question_has_the_same_answer(assigner);
    g2_each_subject_gets_one_site_of_the_map(assigner);
}

/// G1, whatever was asked in between.
///
/// # Panics
/// When it does not hold.
pub fn g1_the_same_question_has_the_same_answer(assigner: &dyn Assigner) {
    let question = || (subjects(), sites(any::<bool>().boxed()));
    check(&(question(), question()), |((subjects, map), (others, other_map))| {
        let first = answer(assigner, &subjects, &map);
        let _ = answer(assigner, &others, &other_map);
        prop_assert_eq!(first, answer(assigner, &subjects, &map));
        Ok(())
    });
}

/// G2; where every site is healthy and without end there is an answer, elsewhere there may be none for want of room.
///
/// # Panics
/// When it does not hold.
pub fn g2_each_subject_gets_one_site_of_the_map(assigner: &dyn Assigner) {
    check(&(subjects(), sites(any::<bool>().boxed())), |(subjects, map)| match answer(assigner, &subjects, &map) {
        Ok(chosen) => of_the_map(&chosen, &subjects, &map),
        Err(fault) => {
            prop_assert_eq!(fault, Fault::Exhausted);
            Ok(())
        }
    });
    check(&(subjects(), sites(Just(true).boxed())), |(subjects, mut map)| {
        map.sites.iter_mut().for_each(|site| site.capacity_bytes = None);
        let chosen = assigner.assign(&subjects, &map);
        prop_assert!(chosen.is_ok(), "{:?}", chosen);
        of_the_map(&chosen.unwrap_or_default(), &subjects, &map)
    });
}

fn of_the_map(chosen: &[SiteId], subjects: &[Subject], map: &SiteMap) -> std::result::Result<(), TestCaseError> {
    prop_assert_eq!(chosen.len(), subjects.len());
    let known: BTreeSet<_> = map.sites.iter().map(|site| site.id).collect();
    prop_assert!(chosen.iter().all(|site| known.contains(site)), "{:?} of {:?}", chosen, known);
    Ok(())
}

/// The answer, or its fault.
fn answer(assigner: &dyn Assigner, subjects: &[Subject], map: &SiteMap) -> std::result::Result<Vec<SiteId>, Fault> {
    let answer: Result<_> = assigner.assign(subjects, map);
    answer.map_err(|error| error.fault)
}

/// The shards of a collection or of two.
fn subjects() -> impl Strategy<Value = Vec<Subject>> {
    let subject = (0u8..2, prop_oneof![Just(0u64), 0u64..1_000], prop::collection::vec("[a-c]{1,3}", 0..3));
    prop::collection::vec(subject, 0..9).prop_map(|subjects| {
        let shards = subjects.into_iter().enumerate();
        let subject = |(index, (collection, expected_bytes, tags)): (usize, (u8, u64, Vec<String>))| Subject {
            shard: ShardId { collection: CollectionId(Uid([collection; 16])), index: index as u32 },
            collection: format!("collection-{collection}"),
            expected_bytes,
            tags,
        };
        shards.map(subject).collect()
    })
}

/// One to six sites, healthy as `healthy` says.
fn sites(healthy: BoxedStrategy<bool>) -> impl Strategy<Value = SiteMap> {
    let kind = prop::sample::select(vec![
        DiskKind::NvmeSsd { max_iops: 500_000 },
        DiskKind::SataSsd,
        DiskKind::Hdd,
        DiskKind::NetworkStorage { latency_ms: 2 },
        DiskKind::ObjectStore,
    ]);
    let capacity = prop::option::of(0u64..4_000);
    let site = (kind, capacity, 0u64..2_000, 0u32..9, 0.25f32..4.0, healthy, prop::collection::vec("rack:[a-c]", 0..2));
    prop::collection::vec(site, 1..7).prop_map(|sites| {
        let view = |(place, (kind, capacity_bytes, used_bytes, shards, weight, healthy, tags))| SiteView {
            id: SiteId(Uid([place as u8 + 1; 16])),
            instance: place as u32,
            kind,
            capacity_bytes,
            used_bytes,
            shards,
            weight,
            healthy,
            append_micros: None,
            tags,
        };
        SiteMap { sites: sites.into_iter().enumerate().map(view).collect::<Vec<SiteView>>() }
    })
}

/// Runs a property and panics with its smallest counterexample.
fn check<S: Strategy>(strategy: &S, property: impl Fn(S::Value) -> std::result::Result<(), TestCaseError>) {
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    if let Err(failure) = TestRunner::new(config).run(strategy, property) {
        panic!("{failure}");
    }
}
