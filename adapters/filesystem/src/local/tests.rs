//! A real directory tree keeps the promises of [`Filesystem`], and what only a disk can do wrong.

use proximadb_ports::conformance::filesystem;

use super::*;

/// A crash of the process: the directory is opened anew. Power stays on.
struct Tree {
    root: tempfile::TempDir,
    open: Arc<LocalFilesystem>,
}

impl Tree {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("tempdir");
        let open = Arc::new(LocalFilesystem::open(root.path()).expect("open"));
        Self { root, open }
    }
}

impl filesystem::Harness for Tree {
    fn filesystem(&self) -> Arc<dyn Filesystem> {
        Arc::clone(&self.open) as Arc<dyn Filesystem>
    }

    fn crash(&mut self) {
        self.open = Arc::new(LocalFilesystem::open(self.root.path()).expect("open"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_tree_conforms() {
    for seed in 0..3 {
        filesystem::run(&mut Tree::new(), seed).await;
    }
}

#[tokio::test]
async fn what_no_put_left_whole_is_not_listed() {
    let tree = Tree::new();
    tree.open.put("a/object", Bytes::from_static(b"x"), PutMode::CreateOnly).await.expect("put");
    for stray in ["a/object#1", "a/ä", "proximadb~lock"] {
        fs::write(tree.root.path().join(stray), b"x").expect("write");
    }
    fs::create_dir_all(tree.root.path().join("lost+found/inner")).expect("mkdir");
    let listed = tree.open.list("").await.expect("list");
    assert_eq!(listed, [ObjectInfo { key: "a/object".to_owned(), bytes: 1 }]);
    assert_eq!(tree.open.list_prefixes("").await.expect("prefixes"), ["a"]);
}

#[tokio::test]
async fn a_root_that_is_gone_is_unavailable_and_never_made_anew() {
    let Tree { root, open } = Tree::new();
    open.put("a/object", Bytes::new(), PutMode::CreateOnly).await.expect("put");
    let path = root.path().to_owned();
    root.close().expect("remove");
    assert_eq!(open.list("").await.expect_err("gone").fault, Fault::Unavailable);
    assert_eq!(open.list_prefixes("a").await.expect_err("gone").fault, Fault::Unavailable);
    assert_eq!(open.put("a/object", Bytes::new(), PutMode::Overwrite).await.expect_err("gone").fault, Fault::Unavailable);
    assert_eq!(open.delete("a/object").await.expect_err("gone").fault, Fault::Unavailable);
    assert_eq!(open.space().await.expect_err("gone").fault, Fault::Unavailable);
    assert!(!path.exists());
    assert_eq!(LocalFilesystem::open(&path).err().map(|e| e.fault), Some(Fault::NotFound));
}

#[tokio::test]
async fn another_directory_in_the_place_of_the_root_is_neither_read_nor_written() {
    let parent = tempfile::tempdir().expect("tempdir");
    let (here, away) = (parent.path().join("here"), parent.path().join("away"));
    fs::create_dir(&here).expect("mkdir");
    let open = LocalFilesystem::open(&here).expect("open");
    let body = || Bytes::from_static(b"x");
    open.put("a/object", body(), PutMode::CreateOnly).await.expect("put");
    fs::rename(&here, &away).expect("the disk goes");
    fs::create_dir_all(here.join("a")).expect("its mount point stays");
    fs::write(here.join("a/object"), b"other").expect("write");
    let outcomes = [
        open.put("a/object", body(), PutMode::Overwrite).await.err(),
        open.put("b/object", body(), PutMode::CreateOnly).await.err(),
        open.delete("a/object").await.err(),
        open.get("a/object").await.err(),
        open.get("a/absent").await.err(),
        open.get_ranges("a/object", std::slice::from_ref(&(0..1))).await.err(),
        open.size("a/object").await.err(),
        open.list("").await.err(),
        open.list_prefixes("").await.err(),
        open.space().await.err(),
    ];
    for (number, error) in outcomes.into_iter().enumerate() {
        let error = error.unwrap_or_else(|| panic!("operation {number} took place elsewhere"));
        assert_eq!((error.fault, error.message.as_str()), (Fault::Unavailable, "another directory is in its place"), "{number}");
    }
    assert_eq!(fs::read(here.join("a/object")).expect("read"), b"other");
    assert!(!here.join("b").exists());
    fs::remove_dir_all(&here).expect("remove");
    fs::rename(&away, &here).expect("the disk comes back");
    assert_eq!(open.get("a/object").await.expect("get"), "x");
    open.put("b/object", body(), PutMode::CreateOnly).await.expect("put");
}

#[tokio::test]
async fn a_key_below_an_object_is_refused() {
    let tree = Tree::new();
    tree.open.put("a", Bytes::new(), PutMode::CreateOnly).await.expect("put");
    assert_eq!(tree.open.put("a/b", Bytes::new(), PutMode::CreateOnly).await.expect_err("below").fault, Fault::Invalid);
    assert_eq!(tree.open.get("a/b").await.expect_err("below").fault, Fault::NotFound);
    tree.open.delete("a/b").await.expect("not there");
}

#[tokio::test]
async fn space_is_told() {
    let space = Tree::new().open.space().await.expect("space").expect("known");
    assert!(space.free_bytes <= space.total_bytes && space.total_bytes > 0);
}
