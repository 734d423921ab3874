//! Plugins that do harm, all of them in one real server: each is an error of its own collection, and another collection is served as if
//! they were not there. What its answers take is printed, beside what they take while the same is asked of a plugin that is well, and
//! not judged: machines differ.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proximadb_tests::{PluginStand, Server};
use serde_json::{Value, json};

use guests::{Guest, assigner, compile};

#[expect(dead_code, reason = "its other guests are for the tests of the host")]
#[path = "../../plugins/host/tests/plugins/guests.rs"]
mod guests;

const COSINE: &[u8] = include_bytes!("../../plugins/examples/prebuilt/cosine.wasm");

/// When harm is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// The plugin is not loaded; the words say why.
    Start,
    /// It is loaded, and no collection can be made with it.
    Creation,
    /// A collection is made, and it fails as it is searched.
    Search,
}

struct Module {
    name: &'static str,
    at: At,
    words: &'static str,
    bytes: Vec<u8>,
}

fn guest(name: &'static str, at: At, words: &'static str, guest: &Guest) -> Module {
    Module { name, at, words, bytes: guest.component() }
}

fn scoring(name: &'static str, words: &'static str, score: &'static str) -> Module {
    guest(name, At::Search, words, &Guest { score, ..Guest::default() })
}

fn raw(name: &'static str, words: &'static str, bytes: Vec<u8>) -> Module {
    Module { name, at: At::Start, words, bytes }
}

/// An answer of `score` somewhere, of some length.
macro_rules! answer {
    ($pointer:literal, $length:literal) => {
        concat!("(i32.store (i32.const 68) ", $pointer, ") (i32.store (i32.const 72) ", $length, ") (i32.const 64)")
    };
}

const DEEPER: &str = "(call $score (local.get $query) (local.get $dimension) (local.get $block) (local.get $length)) (drop) unreachable";
const NOT_A_NUMBER: &str = "(f32.store (local.get $block) (f32.const nan))
    (i32.store (i32.const 68) (local.get $block)) (i32.store (i32.const 72) (local.get $length)) (i32.const 64)";
const WITHOUT_END: &str = "(f32.store (local.get $block) (f32.const inf))
    (i32.store (i32.const 68) (local.get $block)) (i32.store (i32.const 72) (local.get $length)) (i32.const 64)";
const GROWS: &str = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";
const NO_TEXT: &str = "(i32.store8 (i32.const 64) (i32.const 1)) (i32.store (i32.const 68) (i32.const 256))
    (i32.store (i32.const 72) (i32.const 2)) (i32.store16 (i32.const 256) (i32.const 0xffff)) (i32.const 64)";

fn modules() -> Vec<Module> {
    use At::{Creation, Start};
    let good = Guest::default().component();
    let mut flipped = good.clone();
    flipped[8] ^= 0xff;
    let wasi = r#"(component (import "wasi:clocks/monotonic-clock@0.2.0" (instance (export "now" (func (result u64))))))"#;
    let unknown = r#"(component (import "local:thing/api" (instance (export "f" (func)))))"#;
    let table = Guest { beside: "(table 10001 funcref)", ..Guest::default() };
    let long_name = "(i32.store (i32.const 24) (i32.const 129)) (i32.store (i32.const 20) (i32.const 1024)) (i32.const 16)";
    vec![
        raw("empty", "no WebAssembly component", Vec::new()),
        raw("text", "no WebAssembly component", b"not wasm at all".to_vec()),
        raw("core_module", "no WebAssembly component", compile("(module)")),
        raw("truncated", "no WebAssembly component", good[..good.len() / 2].to_vec()),
        raw("flipped", "no WebAssembly component", flipped),
        raw("empty_component", "does not export", compile("(component)")),
        raw("assigner_as_metric", "does not export", assigner("unreachable")),
        raw("imports_wasi", "imports wasi:clocks", compile(wasi)),
        raw("imports_unknown", "imports local:thing", compile(unknown)),
        raw("oversize", "at most", [good.as_slice(), &vec![0; 9 << 20]].concat()),
        guest("endless_start", Start, "took too long", &Guest { beside: "(func $start (loop (br 0))) (start $start)", ..Guest::default() }),
        guest("trapping_start", Start, "unreachable", &Guest { beside: "(func $start unreachable) (start $start)", ..Guest::default() }),
        guest("memory_from_the_start", Start, "memory", &Guest { memory: "(memory (export \"memory\") 65536)", ..Guest::default() }),
        guest("large_table", Start, "table", &table),
        guest("endless_describe", Creation, "took too long", &Guest { describe: "(loop (br 0)) unreachable", ..Guest::default() }),
        guest("trapping_describe", Creation, "unreachable", &Guest { describe: "unreachable", ..Guest::default() }),
        guest("long_name", Creation, "128 bytes", &Guest { describe: long_name, ..Guest::default() }),
        guest("describes_outside", Creation, "trapped", &Guest { describe: "(i32.const -4)", ..Guest::default() }),
        scoring("endless_loop", "took too long", "(loop (br 0)) unreachable"),
        scoring("endless_memory", "ran into a limit", GROWS),
        scoring("recursion", "stack", DEEPER),
        scoring("trap", "unreachable", "unreachable"),
        scoring("division", "divide", "(i32.div_u (i32.const 1) (i32.const 0))"),
        scoring("reads_outside", "out of bounds", "(i32.load (i32.const -1))"),
        scoring("too_few", "for 3 vectors", answer!("(local.get $block)", "(i32.const 2)")),
        scoring("too_many", "for 3 vectors", answer!("(local.get $block)", "(i32.const 4)")),
        scoring("none_at_all", "for 3 vectors", answer!("(local.get $block)", "(i32.const 0)")),
        scoring("answers_outside", "trapped", answer!("(i32.const 0)", "(i32.const -1)")),
        scoring("answers_askew", "trapped", answer!("(i32.const 3)", "(i32.const 2)")),
        scoring("not_a_number", "value of vector 0", NOT_A_NUMBER),
        scoring("without_end", "value of vector 0", WITHOUT_END),
        scoring("error_without_text", "utf-8", NO_TEXT),
        guest(
            "unknown_tag",
            At::Search,
            "trapped",
            &Guest { score: "(i32.store8 (i32.const 64) (i32.const 9)) (i32.const 64)", ..Guest::default() },
        ),
        // Under the name of a plugin whose digest the configuration has.
        raw("renamed", "sha256", good),
    ]
}

/// Faults after which a plugin is left alone.
const FAULTS_MAX: usize = 3;
const RECORDS: [(&str, f32); 3] = [("a", 1.0), ("b", 2.0), ("c", 3.0)];

fn write(server: &Server, name: &str) {
    let records: Vec<Value> = RECORDS.iter().map(|(id, component)| json!({"id": id, "vector": [component]})).collect();
    let (status, answer) = server.call("POST", &format!("/v1/collections/{name}/records"), &json!({"upsert": records}));
    assert_eq!(status, 200, "{name}: {answer}");
}

fn make(server: &Server, name: &str, metric: &str) -> (u16, Value) {
    server.call("POST", "/v1/collections", &json!({"name": name, "dimension": 1, "metric": metric}))
}

/// What the other client does while the well-behaved collection is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    Nothing,
    /// The same as of a module, of a plugin that is well.
    Well,
    /// A module that ends at once.
    Brief,
    /// A module that computes without end.
    Endless,
}

impl Meanwhile {
    const ALL: [Self; 4] = [Self::Nothing, Self::Well, Self::Brief, Self::Endless];

    fn of(module: &Module) -> Self {
        if module.words.contains("took too long") { Self::Endless } else { Self::Brief }
    }
}

/// Searches of the well-behaved collection, one after the other, and what was going on.
#[derive(Default)]
struct Asking {
    meanwhile: AtomicUsize,
    is_over: AtomicBool,
}

impl Asking {
    /// Searches until it is over. Gives what each took that had one thing going on from its beginning to its end.
    fn ask(&self, server: &Server) -> [Vec<Duration>; Meanwhile::ALL.len()] {
        let mut took: [Vec<Duration>; Meanwhile::ALL.len()] = Default::default();
        while !self.is_over.load(Ordering::SeqCst) {
            let (before, began) = (self.meanwhile.load(Ordering::SeqCst), now());
            let (status, answer) = server.call("POST", "/v1/collections/good/search", &json!({"vector": [2.5], "k": 1}));
            let time = began.elapsed();
            assert_eq!((status, &answer["hits"][0]["id"]), (200, &json!("a")), "{answer}");
            if before == self.meanwhile.load(Ordering::SeqCst) {
                took[before].push(time);
            }
        }
        took
    }

    /// Nothing is going on before a job, for a while.
    #[expect(clippy::disallowed_methods, reason = "a real process is measured")]
    fn during(&self, meanwhile: Meanwhile, job: impl FnOnce()) {
        std::thread::sleep(PAUSE);
        self.meanwhile.store(meanwhile as usize, Ordering::SeqCst);
        job();
        self.meanwhile.store(Meanwhile::Nothing as usize, Ordering::SeqCst);
    }
}

const PAUSE: Duration = Duration::from_millis(40);

/// Ends the asking also where an assertion fails.
struct Ends<'a>(&'a Asking);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
    }
}

#[expect(clippy::disallowed_methods, reason = "a real process is measured")]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn every_harm_is_an_error_of_its_own_collection_and_the_others_are_served() {
    let modules = modules();
    assert!(modules.len() >= 25);
    let mut stand = PluginStand::new("");
    stand.put("echo", "metric", &Guest::default().component(), "");
    stand.put("twin", "metric", COSINE, "");
    for module in &modules {
        let limits = &format!("limits = {{ faults_max = {FAULTS_MAX}, cool_down_seconds = 600 }}");
        match module.name {
            "renamed" => stand.put_with_digest(module.name, "metric", &module.bytes, &proximadb_tests::sha256(COSINE), limits),
            name => stand.put(name, "metric", &module.bytes, limits),
        }
    }
    let server = stand.start();
    assert_eq!(make(&server, "good", "wasm:echo").0, 201);
    assert_eq!(make(&server, "plain", "cosine").0, 201);
    assert_eq!(make(&server, "twin", "wasm:twin").0, 201);
    for name in ["good", "plain", "twin"] {
        write(&server, name);
    }
    let asking = Asking::default();
    let took = std::thread::scope(|scope| {
        let asked = scope.spawn(|| asking.ask(&server));
        let ends = Ends(&asking);
        for module in &modules {
            asking.during(Meanwhile::Well, || ask_the_same(&server, module));
            asking.during(Meanwhile::of(module), || harm(&server, module));
        }
        drop(ends);
        asked.join().expect("the good collection is served")
    });
    println!("{} modules; searches of another collection meanwhile, the median and the p99 of what they took:", modules.len());
    for (meanwhile, mut took) in Meanwhile::ALL.into_iter().zip(took) {
        took.sort();
        assert!(!took.is_empty(), "it was searched while {meanwhile:?}");
        println!("{meanwhile:?}: {} searches, {:?}, {:?}", took.len(), took[took.len() / 2], took[took.len() * 99 / 100]);
    }

    // Afterwards everything that is well is as it was.
    for (name, nearest) in [("good", "a"), ("plain", "a"), ("twin", "a")] {
        let (status, answer) = server.call("POST", &format!("/v1/collections/{name}/search"), &json!({"vector": [1.0], "k": 3}));
        assert_eq!(
            (status, &answer["hits"][0]["id"], answer["hits"].as_array().map(Vec::len)),
            (200, &json!(nearest), Some(3)),
            "{answer}"
        );
    }
    let (_, listed) = server.call("GET", "/v1/plugins", &Value::Null);
    let state =
        |name: &str| listed["plugins"].as_array().expect("plugins").iter().find(|p| p["name"] == name).expect("listed")["state"].clone();
    for module in &modules {
        let expected = if module.at == At::Start { "refused" } else { "resting" };
        assert_eq!(state(module.name), expected, "{}", module.name);
    }
    assert_eq!((state("echo"), state("twin")), (json!("ready"), json!("ready")));
    assert!(server.stop().success(), "and it stops in good order");
}

/// What [`harm`] asks because of a module, asked of a plugin that is well.
fn ask_the_same(server: &Server, module: &Module) {
    let name = format!("well_{}", module.name);
    let list = || assert_eq!(server.call("GET", "/v1/plugins", &Value::Null).0, 200);
    let times = if module.at == At::Start { 1 } else { FAULTS_MAX + 1 };
    if module.at != At::Search {
        for time in 0..times {
            assert_eq!(make(server, &format!("{name}_{time}"), "wasm:echo").0, 201);
            list();
        }
        return;
    }
    assert_eq!(make(server, &name, "wasm:echo").0, 201);
    write(server, &name);
    for _ in 0..times {
        let (status, answer) = server.call("POST", &format!("/v1/collections/{name}/search"), &json!({"vector": [1.0], "k": 1}));
        assert_eq!(status, 200, "{answer}");
        list();
    }
    assert_eq!(server.call("GET", &format!("/v1/collections/{name}/records/a"), &Value::Null).0, 200);
}

/// Does what the module is for, until its breaker is open.
fn harm(server: &Server, module: &Module) {
    let name = module.name;
    let fails = |(status, answer): (u16, Value), expected: &str| {
        let text = answer.to_string();
        let is_said = status == 502 && text.contains("plugin_failed") && text.contains(expected);
        assert!(is_said, "{name}, {:?}: {status} {text}", module.at);
        let (_, listed) = server.call("GET", "/v1/plugins", &Value::Null);
        let of_this = listed["plugins"].as_array().and_then(|all| all.iter().find(|plugin| plugin["name"] == name));
        let problem = of_this.expect("it is listed")["problem"].to_string();
        assert!(problem.contains(module.words), "{name}, {:?}: {problem}", module.at);
    };
    match module.at {
        At::Start => fails(make(server, name, &format!("wasm:{name}")), module.words),
        At::Creation => {
            for _ in 0..FAULTS_MAX {
                fails(make(server, name, &format!("wasm:{name}")), "");
            }
            fails(make(server, name, &format!("wasm:{name}")), "left alone");
        }
        At::Search => {
            assert_eq!(make(server, name, &format!("wasm:{name}")).0, 201, "{name}");
            write(server, name);
            let path = format!("/v1/collections/{name}/search");
            let search = || server.call("POST", &path, &json!({"vector": [1.0], "k": 1}));
            for _ in 0..FAULTS_MAX {
                fails(search(), "");
            }
            fails(search(), "left alone");
            let (status, answer) = server.call("GET", &format!("/v1/collections/{name}/records/a"), &Value::Null);
            assert_eq!((status, &answer["id"]), (200, &json!("a")), "what needs no distance is served: {answer}");
        }
    }
}
