//! Comparisons with a number, brought into the terms of a column's own type once, so that each row costs two comparisons.
//! Knows no arrays. Exact: an integer column compared with 3.5 or 2^64, or a float column with 2^53 + 1, rounds nothing.

use std::cmp::Ordering;

use proximadb_model::{Test, Timestamp, Value};

/// Where a test holds among the values of a column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Bounds<T> {
    /// Nowhere.
    Nowhere,
    /// Everywhere.
    Everywhere,
    /// From one value to another, both counted.
    Within(T, T),
    /// At these values, which ascend.
    At(Vec<T>),
}

/// The bounds of a test, and whether it is their complement that counts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NumberTest<T> {
    /// Where the test holds, or does not.
    pub(crate) bounds: Bounds<T>,
    /// Whether it does not hold there, and holds everywhere else.
    pub(crate) negated: bool,
}

/// The neighbours of an operand among the values of a column's type.
struct Operand<T> {
    /// Smallest value that is not less than the operand.
    at_least: Option<T>,
    /// Largest value that is not greater.
    at_most: Option<T>,
    /// Smallest value that is greater.
    above: Option<T>,
    /// Largest value that is less.
    below: Option<T>,
    /// The value that equals it.
    same: Option<T>,
}

impl<T> Operand<T> {
    const NONE: Self = Self { at_least: None, at_most: None, above: None, below: None, same: None };
}

impl NumberTest<i64> {
    /// A test on a column of integers.
    pub(crate) fn of_integers(test: &Test) -> Self {
        Self::new(test, integer_operand, (i64::MIN, i64::MAX), i64::cmp)
    }

    /// A test on a column of points in time.
    pub(crate) fn of_moments(test: &Test) -> Self {
        let operand = |value: &Value| match value {
            Value::DateTime(at) => whole_operand(i128::from(at.0), true),
            Value::String(text) => text.parse::<Timestamp>().map_or(Operand::NONE, |at| whole_operand(i128::from(at.0), true)),
            _ => Operand::NONE,
        };
        Self::new(test, operand, (i64::MIN, i64::MAX), i64::cmp)
    }
}

impl NumberTest<f64> {
    /// A test on a column of finite floats.
    pub(crate) fn of_floats(test: &Test) -> Self {
        Self::new(test, float_operand, (f64::NEG_INFINITY, f64::INFINITY), f64::total_cmp)
    }
}

impl<T: Copy + PartialOrd> NumberTest<T> {
    fn new(test: &Test, operand: impl Fn(&Value) -> Operand<T>, ends: (T, T), order: fn(&T, &T) -> Ordering) -> Self {
        let within = |low: Option<T>, high: Option<T>| match (low, high) {
            (Some(low), Some(high)) if low <= high => Bounds::Within(low, high),
            _ => Bounds::Nowhere,
        };
        let at = |list: &[Value]| {
            let mut values: Vec<T> = list.iter().filter_map(|value| operand(value).same).collect();
            values.sort_unstable_by(order);
            values.dedup();
            if values.is_empty() { Bounds::Nowhere } else { Bounds::At(values) }
        };
        let (bounds, negated) = match test {
            Test::Eq(value) | Test::Ne(value) => {
                let same = operand(value).same;
                (within(same, same), matches!(test, Test::Ne(_)))
            }
            Test::In(list) | Test::Nin(list) => (at(list), matches!(test, Test::Nin(_))),
            Test::Gt(value) => (within(operand(value).above, Some(ends.1)), false),
            Test::Gte(value) => (within(operand(value).at_least, Some(ends.1)), false),
            Test::Lt(value) => (within(Some(ends.0), operand(value).below), false),
            Test::Lte(value) => (within(Some(ends.0), operand(value).at_most), false),
            Test::Exists(wanted) => (if *wanted { Bounds::Everywhere } else { Bounds::Nowhere }, false),
            Test::Contains(_) | Test::Prefix(_) => (Bounds::Nowhere, false),
        };
        Self { bounds, negated }
    }
}

fn integer_operand(value: &Value) -> Operand<i64> {
    match value {
        Value::Int(n) => whole_operand(i128::from(*n), true),
        Value::UInt(n) => whole_operand(i128::from(*n), true),
        // Beyond 2^65 every integer of ours lies on the same side; casting saturates there, and NaN is caught first.
        Value::Float(n) if !n.is_nan() => whole_operand(n.clamp(-3.7e19, 3.7e19).floor() as i128, n.fract() == 0.0),
        _ => Operand::NONE,
    }
}

/// The operand whose integral part, rounded down, is `floor`.
fn whole_operand(floor: i128, exact: bool) -> Operand<i64> {
    let up = |n: i128| i64::try_from(n.max(i128::from(i64::MIN))).ok();
    let down = |n: i128| i64::try_from(n.min(i128::from(i64::MAX))).ok();
    let (at_least, below) = if exact { (floor, floor - 1) } else { (floor + 1, floor) };
    Operand {
        at_least: up(at_least),
        at_most: down(floor),
        above: up(floor + 1),
        below: down(below),
        same: if exact { i64::try_from(floor).ok() } else { None },
    }
}

fn float_operand(value: &Value) -> Operand<f64> {
    let near = match value {
        Value::Float(n) => *n,
        Value::Int(n) => *n as f64,
        Value::UInt(n) => *n as f64,
        _ => return Operand::NONE,
    };
    // Both zeros are one value.
    let near = near + 0.0;
    match Value::Float(near).compare(value) {
        None => Operand::NONE,
        Some(Ordering::Equal) => Operand {
            at_least: Some(near),
            at_most: Some(near),
            above: Some(near.next_up()),
            below: Some(near.next_down()),
            same: Some(near),
        },
        Some(side) => {
            // The operand is an integer between two neighbouring floats, neither of which equals it.
            let (less, greater) = if side.is_gt() { (near.next_down(), near) } else { (near, near.next_up()) };
            Operand { at_least: Some(greater), at_most: Some(less), above: Some(greater), below: Some(less), same: None }
        }
    }
}

impl NumberTest<i64> {
    /// Whether the test holds for a value.
    pub(crate) fn holds(&self, value: i64) -> bool {
        self.negated
            != match &self.bounds {
                Bounds::Nowhere => false,
                Bounds::Everywhere => true,
                Bounds::Within(low, high) => (*low <= value) & (value <= *high),
                Bounds::At(values) => values.binary_search(&value).is_ok(),
            }
    }
}

impl NumberTest<f64> {
    /// Whether the test holds for a value.
    pub(crate) fn holds(&self, value: f64) -> bool {
        self.negated
            != match &self.bounds {
                Bounds::Nowhere => false,
                Bounds::Everywhere => true,
                Bounds::Within(low, high) => (*low <= value) & (value <= *high),
                Bounds::At(values) => values.binary_search_by(|known| known.total_cmp(&(value + 0.0))).is_ok(),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number() -> impl Strategy<Value = Value> {
        let edge =
            prop::sample::select(vec![0i128, 1 << 52, 1 << 53, (1 << 53) + 1, 1 << 62, i64::MAX.into(), 1 << 63, u64::MAX.into(), 1 << 64]);
        let near = (edge, -2i128..=2, any::<bool>(), 0u8..3).prop_map(|(edge, by, minus, kind)| {
            let n = if minus { -(edge + by) } else { edge + by };
            match (kind, i64::try_from(n), u64::try_from(n)) {
                (0, Ok(n), _) => Value::Int(n),
                (0, _, Ok(n)) => Value::from_u64(n),
                (1, _, _) => Value::Float(n as f64 + 0.5),
                _ => Value::Float(n as f64),
            }
        });
        let special =
            prop::sample::select(vec![-0.0, f64::MIN, f64::MAX, f64::MIN_POSITIVE, f64::INFINITY, f64::NAN, 1e300]).prop_map(Value::Float);
        prop_oneof![6 => near, 2 => (-3i64..3).prop_map(Value::Int), 1 => special, 1 => Just(Value::String("1".into())), 1 => Just(Value::Null)]
    }

    fn test() -> impl Strategy<Value = Test> {
        prop_oneof![
            (number(), 0..6).prop_map(|(value, which)| match which {
                0 => Test::Eq(value),
                1 => Test::Ne(value),
                2 => Test::Gt(value),
                3 => Test::Gte(value),
                4 => Test::Lt(value),
                _ => Test::Lte(value),
            }),
            prop::collection::vec(number(), 0..5).prop_map(Test::In),
            prop::collection::vec(number(), 0..5).prop_map(Test::Nin),
            any::<bool>().prop_map(Test::Exists),
            number().prop_map(Test::Contains),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn bounds_mean_what_the_test_means(test in test(), value in number()) {
            match value {
                Value::Int(n) => prop_assert_eq!(NumberTest::of_integers(&test).holds(n), test.holds(Some(&value))),
                Value::Float(n) if n.is_finite() => prop_assert_eq!(NumberTest::of_floats(&test).holds(n), test.holds(Some(&value))),
                _ => {}
            }
        }

        #[test]
        fn moments_compare_with_text(at in -2i64..2, other in -2i64..2, which in 0usize..4) {
            let operand = Value::String(Timestamp(other * 1_000_000).to_string());
            let test = [Test::Eq(operand.clone()), Test::Gt(operand.clone()), Test::Lte(operand), Test::Lt(Value::Int(5))][which].clone();
            let value = Value::DateTime(Timestamp(at * 1_000_000));
            prop_assert_eq!(NumberTest::of_moments(&test).holds(at * 1_000_000), test.holds(Some(&value)));
        }
    }
}
