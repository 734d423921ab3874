//! The committed code and descriptors are what the .proto files say.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use prost::Message;

const GENERATED: [&str; 2] = ["proximadb.v1.rs", "proximadb.v1.bin"];

fn generate(root: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let mut descriptors = protox::compile(["proximadb/v1/service.proto"], [root])?;
    tonic_prost_build::configure().bytes(".").btree_map(".").out_dir(out).compile_fds(descriptors.clone())?;
    // Positions and comments of the sources are of no use to reflection.
    for file in &mut descriptors.file {
        file.source_code_info = None;
    }
    fs::write(out.join("proximadb.v1.bin"), descriptors.encode_to_vec())?;
    Ok(())
}

#[test]
fn generated_files_are_those_of_the_proto_files() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tempfile::tempdir()?;
    generate(root, out.path())?;
    for name in GENERATED {
        let committed = root.join("src/generated").join(name);
        let fresh = fs::read(out.path().join(name))?;
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&committed, &fresh)?;
        }
        assert!(fs::read(&committed)? == fresh, "{name} is stale: UPDATE_GOLDEN=1 cargo test -p proximadb-proto");
    }
    Ok(())
}
