//! CPU time of processes, from `/proc`.

use std::error::Error;
use std::fs;
use std::time::Duration;

/// Linux counts the time of processes in hundredths of a second towards programs, whatever its own clock is.
const TICKS_PER_SECOND: u64 = 100;

/// What a process has used so far, all its threads together.
///
/// # Errors
/// When there is no such process.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration, Box<dyn Error + Send + Sync>> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    let ticks = ticks(&text).ok_or_else(|| format!("{path}: {text:?} is not understood"))?;
    Ok(Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
}

/// The fields `utime` and `stime`; the name before them may hold anything, parentheses too.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_hold_parentheses() {
        assert_eq!(ticks("7 (a) b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20"), Some(300));
        assert_eq!(ticks("7 (a) S 1 2"), None);
    }

    #[test]
    fn work_is_counted() {
        let pid = std::process::id();
        let before = cpu_time(pid).expect("this process");
        let mut x = 1u64;
        while cpu_time(pid).expect("this process") < before + Duration::from_millis(20) {
            x = std::hint::black_box(x.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        }
    }
}
