//! Placement that guests compute.

use std::time::Duration;

use proximadb_model::{CollectionId, DiskKind, ShardId, SiteId, SiteMap, SiteView, Subject, Uid};
use proximadb_plugins::check_assigner;
use proximadb_ports::conformance::assigner as suite;
use proximadb_ports::{Assigner, Fault, PortError};

use crate::guests::assigner;
use crate::{RACK_AWARE, TAG_AFFINITY, host, host_with, options};

fn subjects(count: u32) -> Vec<Subject> {
    let subject = |index| Subject {
        shard: ShardId { collection: CollectionId(Uid([1; 16])), index },
        collection: "photos".to_owned(),
        expected_bytes: 10,
        tags: vec!["hot".to_owned()],
    };
    (0..count).map(subject).collect()
}

fn site(number: u8, rack: &str) -> SiteView {
    SiteView {
        id: SiteId(Uid([number; 16])),
        instance: u32::from(number),
        kind: DiskKind::Hdd,
        capacity_bytes: Some(100),
        used_bytes: 0,
        shards: 0,
        weight: 1.0,
        healthy: true,
        append_micros: None,
        tags: vec!["ssd-cache".to_owned(), rack.to_owned()],
    }
}

fn map(sites: Vec<SiteView>) -> SiteMap {
    SiteMap { sites }
}

fn places(assigner: &dyn Assigner, count: u32, sites: Vec<SiteView>) -> Result<Vec<u8>, PortError> {
    Ok(assigner.assign(&subjects(count), &map(sites))?.iter().map(|site| site.0.as_bytes()[0]).collect())
}

#[test]
fn rack_aware_keeps_the_ports_guarantees() {
    suite::run(&*host().load_assigner("rack_aware", RACK_AWARE, None, "{}").expect("an assigner"));
}

#[test]
fn tag_affinity_keeps_the_ports_guarantees() {
    let settings = "{\"wants\": {\"collection-1\": \"rack:a\"}}";
    suite::run(&*host().load_assigner("tags", TAG_AFFINITY, None, settings).expect("an assigner"));
}

#[test]
fn tag_affinity_puts_collections_where_their_tag_is_as_long_as_there_is_room() {
    let settings = "{\"wants\": {\"pho\": \"slow\", \"photos\": \"fast\"}}";
    let assigner = host().load_assigner("tags", TAG_AFFINITY, None, settings).expect("an assigner");
    let sites = vec![site(1, "slow"), site(2, "fast"), site(3, "fast")];
    assert_eq!(places(&*assigner, 4, sites.clone()).expect("places"), [2, 3, 2, 3]);
    let full = SiteView { used_bytes: 95, ..site(2, "fast") };
    assert_eq!(places(&*assigner, 1, vec![site(1, "slow"), full]).expect("places"), [1], "elsewhere rather than nowhere");
    let anywhere = host().load_assigner("tags", TAG_AFFINITY, None, "{\"wants\": {\"logs\": \"slow\"}}").expect("an assigner");
    assert_eq!(places(&*anywhere, 3, sites).expect("places"), [1, 2, 3]);
}

#[test]
fn every_example_passes_the_check_and_one_that_places_nothing_does_not() {
    let host = host();
    for (bytes, settings) in [(RACK_AWARE, "{}"), (TAG_AFFINITY, "{\"wants\": {}}")] {
        let assigner = host.load_assigner("checked", bytes, None, settings).expect("an assigner");
        assert!(check_assigner(&*assigner).iter().all(|check| check.failure.is_none()));
    }
    let none = host.load_assigner("none", &answering(128, 0), None, "").expect("an assigner");
    assert!(check_assigner(&*none).iter().all(|check| check.failure.as_deref().is_some_and(|failure| failure.contains("0 sites"))));
}

#[test]
fn rack_aware_spreads_over_racks_before_sites() {
    let assigner = host().load_assigner("rack_aware", RACK_AWARE, None, "{}").expect("an assigner");
    assert_eq!(assigner.name(), "wasm:rack_aware");
    let sites = vec![site(1, "rack:a"), site(2, "rack:a"), site(3, "rack:b")];
    assert_eq!(places(&*assigner, 4, sites.clone()).expect("places"), [1, 3, 2, 3]);
    let rooms = host().load_assigner("rooms", RACK_AWARE, None, "{\"prefix\": \"room:\"}").expect("an assigner");
    assert_eq!(places(&*rooms, 4, sites).expect("each site is its own room"), [1, 2, 3, 1]);
}

#[test]
fn rack_aware_passes_by_sites_that_are_ill_or_full() {
    let assigner = host().load_assigner("rack_aware", RACK_AWARE, None, "{}").expect("an assigner");
    let ill = SiteView { healthy: false, ..site(1, "rack:a") };
    let nearly_full = SiteView { used_bytes: 85, ..site(2, "rack:b") };
    assert_eq!(places(&*assigner, 3, vec![ill.clone(), nearly_full.clone(), site(3, "rack:c")]).expect("places"), [2, 3, 3]);
    let error = places(&*assigner, 2, vec![ill, nearly_full]).expect_err("no room");
    assert_eq!(error.fault, Fault::Exhausted);
    assert!(error.message.contains("shard 1 of photos"), "{error}");
    assert_eq!(places(&*assigner, 1, vec![]).expect_err("no sites").fault, Fault::Exhausted);
}

#[test]
fn settings_that_the_plugin_refuses_come_back_with_its_words() {
    let assigner = host().load_assigner("rack_aware", RACK_AWARE, None, "{\"perfix\": \"\"}").expect("an assigner");
    let error = places(&*assigner, 1, vec![site(1, "")]).expect_err("a refusal");
    assert_eq!(error.fault, Fault::Invalid);
    assert!(error.message.contains("perfix"), "{error}");
}

/// At 128 lie the numbers 0 and 7.
fn answering(pointer: u32, length: u32) -> Vec<u8> {
    assigner(&format!("(i32.store (i32.const 68) (i32.const {pointer})) (i32.store (i32.const 72) (i32.const {length})) (i32.const 64)"))
}

#[test]
fn answers_that_name_no_site_for_each_shard_are_no_answers() {
    let host = host();
    let ask = |bytes: Vec<u8>| {
        let assigner = host.load_assigner("a", &bytes, None, "").expect("an assigner");
        places(&*assigner, 1, vec![site(1, ""), site(2, "")])
    };
    assert_eq!(ask(answering(128, 1)).expect("the first"), [1]);
    for (bytes, word) in [
        (answering(132, 1), "site 7 of 2"),
        (answering(128, 2), "2 sites for 1 shards"),
        (answering(128, 0), "0 sites for 1 shards"),
        (answering(128, 1 << 30), "trapped"),
        (assigner("unreachable"), "trapped"),
        (assigner("(loop (br 0)) unreachable"), "took too long"),
    ] {
        let error = ask(bytes).expect_err("no answer");
        assert_eq!(error.fault, Fault::Plugin, "{error:?}");
        assert!(error.message.contains(word), "{error:?}");
        assert_eq!(ask(answering(128, 1)).expect("the host goes on"), [1]);
    }
}

#[test]
fn a_site_that_takes_no_shards_is_no_answer() {
    let assigner = host().load_assigner("a", &answering(128, 1), None, "").expect("an assigner");
    let ill = SiteView { healthy: false, ..site(1, "") };
    let error = places(&*assigner, 1, vec![ill, site(2, "")]).expect_err("the first is ill");
    assert_eq!(error.fault, Fault::Plugin);
    assert!(error.message.contains("site 0 of 2 takes no shards"), "{error}");
}

#[test]
fn an_assigner_that_keeps_failing_is_left_alone_for_a_while() {
    let (host, clock) = host_with(options());
    let assigner = host.load_assigner("a", &assigner("unreachable"), None, "").expect("an assigner");
    let ask = || places(&*assigner, 1, vec![site(1, "")]).expect_err("no answer").message;
    for _ in 0..5 {
        assert!(ask().contains("trapped"));
    }
    assert!(ask().contains("left alone"));
    clock.advance(Duration::from_secs(30));
    assert!(ask().contains("trapped"));
}
