//! What statistics and bloom filters alone say of a filter over a row group. Never wrong, often undecided; reads no column.

use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;
use proximadb_model::{Filter, Test, Timestamp, Value};

use crate::column::ColumnKind;
use crate::footer::Footer;
use crate::layout::METADATA;

/// For how many rows of a row group something holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// For none.
    Never,
    /// For all.
    Always,
    /// That takes looking at the rows.
    Undecided,
}

use Verdict::{Always, Never, Undecided};

impl Verdict {
    fn of(answer: bool) -> Self {
        if answer { Always } else { Never }
    }

    fn negated(self) -> Self {
        match self {
            Never => Always,
            Always => Never,
            Undecided => Undecided,
        }
    }
}

/// Whether a typed metadata column may hold a text, by the bloom filters at hand; always yes for columns of other kinds.
pub(crate) type Blooms<'a> = &'a dyn Fn(usize, &str) -> bool;

/// Where the values at a path of a filter are to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// The typed column.
    pub(crate) column: Option<usize>,
    /// Whether the remainder of a row may have one that the column has not.
    pub(crate) remainder: bool,
}

impl Source {
    /// The source of a path in a segment.
    pub(crate) fn of(footer: &Footer, path: &str) -> Self {
        Self { column: footer.layout.column_of(path), remainder: footer.keys.may_hold(path) }
    }
}

/// The verdict on a filter over a row group.
pub(crate) fn filter(filter: &Filter, footer: &Footer, group: usize, blooms: Blooms<'_>) -> Verdict {
    let verdicts = |list: &[Filter], stop: Verdict, otherwise: Verdict| {
        list.iter().try_fold(otherwise, |so_far, part| match self::filter(part, footer, group, blooms) {
            verdict if verdict == stop => Err(stop),
            Undecided => Ok(Undecided),
            _ => Ok(so_far),
        })
    };
    match filter {
        Filter::And(all) => verdicts(all, Never, Always).unwrap_or_else(|stop| stop),
        Filter::Or(any) => verdicts(any, Always, Never).unwrap_or_else(|stop| stop),
        Filter::Not(inner) => self::filter(inner, footer, group, blooms).negated(),
        Filter::Field { path, test } => field(test, Source::of(footer, path), footer, group, blooms),
    }
}

fn field(test: &Test, source: Source, footer: &Footer, group: usize, blooms: Blooms<'_>) -> Verdict {
    let missing = if source.remainder { Undecided } else { Verdict::of(test.holds(None)) };
    let Some(column) = source.column else { return missing };
    let (Some(row_group), Some(typed)) = (footer.arrow.metadata().row_groups().get(group), footer.layout.columns.get(column)) else {
        return Undecided;
    };
    let known = Known::of(row_group, column, typed.kind);
    let values = known.verdict(test, &|text| blooms(column, text));
    match known.nulls {
        Some(0) => values,
        Some(nulls) if nulls == known.rows => missing,
        _ if values == missing => values,
        _ => Undecided,
    }
}

/// What the footer says of the values of a typed column in a row group.
struct Known {
    kind: ColumnKind,
    rows: u64,
    /// Rows without a value; unknown for lists, where the footer counts elements.
    nulls: Option<u64>,
    /// A value that none is less than, and one that none is greater than; of the elements, for lists.
    range: Option<(Value, Value)>,
}

impl Known {
    fn of(group: &RowGroupMetaData, column: usize, kind: ColumnKind) -> Self {
        // Each of our columns has one leaf, so places of columns and of leaves are the same.
        let statistics = group.columns().get(METADATA + column).and_then(|chunk| chunk.statistics());
        let nulls = if kind == ColumnKind::TextList { None } else { statistics.and_then(Statistics::null_count_opt) };
        Self { kind, rows: u64::try_from(group.num_rows()).unwrap_or(0), nulls, range: statistics.and_then(|s| range(s, kind)) }
    }

    /// The verdict over the rows that have a value.
    fn verdict(&self, test: &Test, may_hold: &dyn Fn(&str) -> bool) -> Verdict {
        match test {
            Test::Exists(wanted) => Verdict::of(*wanted),
            Test::Eq(want) => self.equal(want, may_hold),
            Test::Ne(want) => self.equal(want, may_hold).negated(),
            Test::In(list) => self.among(list, may_hold),
            Test::Nin(list) => self.among(list, may_hold).negated(),
            Test::Gt(than) => self.ordered(than, |min, max| (min.is_gt(), max.is_gt())),
            Test::Gte(than) => self.ordered(than, |min, max| (min.is_ge(), max.is_ge())),
            Test::Lt(than) => self.ordered(than, |min, max| (max.is_lt(), min.is_lt())),
            Test::Lte(than) => self.ordered(than, |min, max| (max.is_le(), min.is_le())),
            Test::Contains(Value::String(_)) | Test::Prefix(_) if matches!(self.kind, ColumnKind::Text | ColumnKind::TextList) => Undecided,
            // Nothing but a list has elements, and those of ours are texts.
            Test::Contains(Value::DateTime(_)) if self.kind == ColumnKind::TextList => Undecided,
            Test::Contains(_) | Test::Prefix(_) => Never,
        }
    }

    fn equal(&self, want: &Value, may_hold: &dyn Fn(&str) -> bool) -> Verdict {
        if let Value::String(text) = want
            && !may_hold(text)
        {
            return Never;
        }
        if matches!(want, Value::Array(_)) {
            return if self.kind == ColumnKind::TextList { Undecided } else { Never };
        }
        self.ordered(want, |min, max| (false, min.is_le() && max.is_ge()))
    }

    fn among(&self, list: &[Value], may_hold: &dyn Fn(&str) -> bool) -> Verdict {
        let possible = list.iter().any(|want| self.equal(want, may_hold) != Never);
        if possible { Undecided } else { Never }
    }

    /// The verdict on a comparison with `than`, given how the smallest and the largest value compare with it:
    /// `judge` says whether it then holds for all values, and whether it may hold for any.
    fn ordered(&self, than: &Value, judge: impl Fn(std::cmp::Ordering, std::cmp::Ordering) -> (bool, bool)) -> Verdict {
        let Some((min, max)) = &self.range else { return Undecided };
        // Whether text compares with a point in time depends on each text.
        if matches!(than, Value::DateTime(_)) && matches!(self.kind, ColumnKind::Text | ColumnKind::TextList) {
            return Undecided;
        }
        let (Some(min), Some(max)) = (min.compare(than), max.compare(than)) else { return Never };
        match judge(min, max) {
            (_, false) => Never,
            // A list may be empty, and then the comparison holds for none of its elements.
            (true, _) if self.kind != ColumnKind::TextList => Always,
            _ => Undecided,
        }
    }
}

/// The bounds that statistics give. Those of long texts are cut, the lower one down and the upper one up, so they stay bounds.
fn range(statistics: &Statistics, kind: ColumnKind) -> Option<(Value, Value)> {
    match (statistics, kind) {
        (Statistics::Boolean(s), ColumnKind::Bool) => Some((Value::Bool(*s.min_opt()?), Value::Bool(*s.max_opt()?))),
        (Statistics::Int64(s), ColumnKind::Integer) => Some((Value::Int(*s.min_opt()?), Value::Int(*s.max_opt()?))),
        (Statistics::Int64(s), ColumnKind::Moment) => {
            Some((Value::DateTime(Timestamp(*s.min_opt()?)), Value::DateTime(Timestamp(*s.max_opt()?))))
        }
        (Statistics::Double(s), ColumnKind::Float) => Some((Value::Float(*s.min_opt()?), Value::Float(*s.max_opt()?))),
        (Statistics::ByteArray(s), ColumnKind::Text | ColumnKind::TextList) => {
            let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(|text| Value::String(text.to_owned()));
            Some((text(s.min_opt()?.data())?, text(s.max_opt()?.data())?))
        }
        _ => None,
    }
}
