//! What is injected strikes where it was meant to, and does to the bytes what a real disk would do.

use bytes::Bytes;
use proximadb_ports::{Disk, Fault, Filesystem, PutMode};
use proximadb_sim::{Effect, Injection, SimDisk, SimFilesystem};

fn fault<T>(result: proximadb_ports::Result<T>) -> Option<Fault> {
    result.err().map(|e| e.fault)
}

#[tokio::test]
async fn the_nth_operation_fails_and_has_not_happened() {
    let fs = SimFilesystem::new(1);
    fs.inject(Injection::next(Effect::Fail(Fault::Exhausted)).on("put").about("manifest").after(1).times(2));
    let mut outcomes = Vec::new();
    for n in 0..5 {
        fs.put("segment/x", Bytes::new(), PutMode::Overwrite).await.expect("not about a segment");
        outcomes.push(fault(fs.put(&format!("manifest/{n}"), Bytes::new(), PutMode::CreateOnly).await));
    }
    assert_eq!(outcomes, [None, Some(Fault::Exhausted), Some(Fault::Exhausted), None, None]);
    assert_eq!(fs.keys(), ["manifest/0", "manifest/3", "manifest/4", "segment/x"]);
}

#[tokio::test]
async fn a_put_whose_reply_is_lost_has_happened() {
    let fs = SimFilesystem::new(1);
    fs.inject(Injection::next(Effect::LoseReply).on("put"));
    assert_eq!(fault(fs.put("m", Bytes::from_static(b"mine"), PutMode::CreateOnly).await), Some(Fault::Unavailable));
    assert_eq!(fault(fs.put("m", Bytes::from_static(b"mine"), PutMode::CreateOnly).await), Some(Fault::Conflict));
    assert_eq!(fs.get("m").await.expect("get"), "mine");
}

#[tokio::test(start_paused = true)]
async fn a_hung_operation_never_ends_and_the_others_do() {
    let fs = SimFilesystem::new(1);
    fs.inject(Injection::next(Effect::Hang).on("put").times(u64::MAX));
    let put = fs.put("a", Bytes::new(), PutMode::Overwrite);
    assert!(tokio::time::timeout(std::time::Duration::from_secs(3_600), put).await.is_err());
    assert!(fs.list("").await.expect("list").is_empty());
    fs.heal();
    fs.put("a", Bytes::new(), PutMode::Overwrite).await.expect("healed");
}

#[tokio::test(start_paused = true)]
async fn a_hung_disk_operation_happens_or_fails_once_the_disk_is_healed() {
    let mut outcomes = Vec::new();
    for seed in 0..40 {
        let disk = SimDisk::new(seed);
        let mut file = disk.create("log").await.expect("create");
        disk.inject(Injection::next(Effect::Hang).on("append"));
        let hung = tokio::spawn(async move { file.append(vec![Bytes::from_static(b"abc")]).await });
        let minute = std::time::Duration::from_secs(60);
        let outcome = {
            let mut hung = hung;
            assert!(tokio::time::timeout(minute, &mut hung).await.is_err(), "hangs");
            disk.heal();
            hung.await.expect("no panic")
        };
        if outcome.is_ok() {
            assert_eq!(disk.read("log").await.expect("read"), "abc");
        }
        outcomes.push(fault(outcome));
        disk.wipe();
        assert_eq!(disk.list().await.expect("list"), []);
    }
    assert!(outcomes.contains(&None) && outcomes.contains(&Some(Fault::Unavailable)), "{outcomes:?}");
}

#[tokio::test]
async fn handles_from_before_a_crash_are_dead() {
    let disk = SimDisk::new(1);
    let mut file = disk.create("log").await.expect("create");
    let next = disk.crash();
    assert_eq!(fault(file.append(vec![Bytes::from_static(b"x")]).await), Some(Fault::Unavailable));
    assert_eq!(fault(disk.create("other").await), Some(Fault::Unavailable));
    assert_eq!(next.read("log").await.expect("read"), "");
    let fs = SimFilesystem::new(1);
    let later = fs.crash();
    assert_eq!(fault(fs.put("a", Bytes::new(), PutMode::Overwrite).await), Some(Fault::Unavailable));
    assert!(later.list("").await.expect("list").is_empty());
}

#[tokio::test]
async fn a_full_disk_takes_what_fits_and_works_again_when_there_is_room() {
    let disk = SimDisk::new(3);
    disk.set_capacity_bytes(Some(1_000));
    let mut file = disk.create("log").await.expect("create");
    file.append(vec![Bytes::from(vec![1; 600])]).await.expect("fits");
    assert_eq!(fault(file.append(vec![Bytes::from(vec![2; 600])]).await), Some(Fault::Exhausted));
    let length = disk.read("log").await.expect("read").len();
    assert!((600..=1_000).contains(&length), "{length}");
    disk.set_capacity_bytes(None);
    file.append(vec![Bytes::from_static(b"x")]).await.expect("room again");
    file.sync().await.expect("sync");
}

#[tokio::test]
async fn pages_that_a_failed_sync_dropped_are_sometimes_gone() {
    let (mut gone, mut there) = (0, 0);
    for seed in 0..100 {
        let disk = SimDisk::new(seed);
        let mut file = disk.create("log").await.expect("create");
        file.append(vec![Bytes::from(vec![9; 3_000])]).await.expect("append");
        disk.inject(Injection::next(Effect::Fail(Fault::Unavailable)).on("sync"));
        file.sync().await.expect_err("injected");
        let found = disk.crash().read("log").await.expect("read");
        if found == vec![9; 3_000] { there += 1 } else { gone += 1 }
    }
    assert!(gone > 20 && there > 0, "gone {gone}, there {there}");
}

#[tokio::test]
async fn rot_changes_one_bit_of_what_is_stored() {
    let disk = SimDisk::new(1);
    let mut file = disk.create("log").await.expect("create");
    file.append(vec![Bytes::from_static(b"abc")]).await.expect("append");
    assert!(disk.flip("log", 1) && !disk.flip("log", 3) && !disk.flip("none", 0));
    let found = disk.read("log").await.expect("read");
    assert_eq!((found[0], found[2], (found[1] ^ b'b').count_ones()), (b'a', b'c', 1));
    assert!(disk.damage("log", |bytes| bytes.truncate(1)));
    assert_eq!(disk.read("log").await.expect("read"), "a");
    let fs = SimFilesystem::new(1);
    fs.put("k", Bytes::from_static(b"abc"), PutMode::Overwrite).await.expect("put");
    assert!(fs.flip("k", 2) && !fs.flip("k", 3));
    assert_ne!(fs.get("k").await.expect("get"), "abc");
}

#[tokio::test]
async fn a_dropped_append_kills_its_handle() {
    let mut killed = 0;
    for seed in 0..20 {
        let disk = SimDisk::new(seed);
        let mut file = disk.create("log").await.expect("create");
        let mut append = file.append(vec![Bytes::from_static(b"x")]);
        let ended = std::future::poll_fn(|cx| std::task::Poll::Ready(append.as_mut().poll(cx).is_ready())).await;
        drop(append);
        if !ended {
            killed += 1;
            assert_eq!(fault(file.sync().await), Some(Fault::Unavailable), "seed {seed}");
        }
    }
    assert!(killed > 0, "no append was dropped on its way");
}
