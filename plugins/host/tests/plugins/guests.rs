//! Guests written by hand: a core module in a component's shell, so that each misdeed is a line or two.

/// A page of memory has 64 KiB.
const ROOM: &str = "(memory (export \"memory\") 4)";

/// An allocator that never frees, the same in all of them.
const REALLOC: &str = "
    (global $heap (mut i32) (i32.const 4096))
    (func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
      (global.set $heap (i32.add (local.get $at) (local.get 3)))
      (local.get $at))";

/// The parts of a metric guest; what is not said is well-behaved.
///
/// For vectors of one component, the value of a vector is its component. Answers of `score` lie at 64, and 0 there says that all
/// is well; at 128 lies the text "sorry".
pub(crate) struct Guest {
    pub(crate) memory: &'static str,
    pub(crate) beside: &'static str,
    pub(crate) describe: &'static str,
    pub(crate) score: &'static str,
}

impl Default for Guest {
    fn default() -> Self {
        Self { memory: ROOM, beside: "", describe: "(i32.const 16)", score: ECHO }
    }
}

/// Answers with the block itself.
pub(crate) const ECHO: &str = "
    (i32.store (i32.const 68) (local.get $block)) (i32.store (i32.const 72) (local.get $length)) (i32.const 64)";

impl Guest {
    /// A metric that answers a block in its own way.
    pub(crate) fn scoring(score: &'static str) -> Vec<u8> {
        Self { score, ..Self::default() }.component()
    }

    pub(crate) fn component(&self) -> Vec<u8> {
        let Self { memory, beside, describe, score } = self;
        let core = format!(
            "{memory} {REALLOC} {beside}
            (data (i32.const 36) \"\\01\\01\")
            (data (i32.const 128) \"sorry\")
            (func $describe (export \"describe\") (param $settings i32) (param $bytes i32) (param $dimension i32) (result i32) {describe})
            (func $score (export \"score\") (param $query i32) (param $dimension i32) (param $block i32) (param $length i32) (result i32)
              {score})"
        );
        compile(&include_str!("metric_shell.wat").replace("module CORE", &format!("module {core}")))
    }
}

/// An assigner that answers in its own way; the answer lies at 64, its payload at 68.
pub(crate) fn assigner(assign: &str) -> Vec<u8> {
    let core = format!(
        "{ROOM} {REALLOC}
        (data (i32.const 128) \"\\00\\00\\00\\00\\07\\00\\00\\00\")
        (func (export \"assign\") (param i32 i32 i32 i32 i32 i32) (result i32) {assign})"
    );
    compile(&include_str!("assigner_shell.wat").replace("module CORE", &format!("module {core}")))
}

/// The bytes of a module or component in text.
pub(crate) fn compile(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the tests' own guests are well-formed")
}
