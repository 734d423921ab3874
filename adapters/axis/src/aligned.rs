//! Owns rows that start on cache lines. Refuses to know what the rows hold.

use proximadb_kernels::{ask_for_huge_pages, prefetch, prefetch_start};

const LINE_BYTES: usize = 64;

/// Rows of a fixed stride in one allocation whose first row starts on a cache line.
#[derive(Debug)]
pub(crate) struct AlignedRows<T> {
    // Longer than the rows by up to a line: there is no aligned `Vec` without unsafe code. A `Vec` that never grows keeps its
    // place when it is moved, so `start` stays true.
    storage: Vec<T>,
    start: usize,
    stride: usize,
}

impl<T: Copy> AlignedRows<T> {
    /// `rows` rows of `stride` values, all `fill`.
    pub(crate) fn filled(rows: usize, stride: usize, fill: T) -> Self {
        let slack = LINE_BYTES / size_of::<T>().max(1);
        let mut storage = Self::room(rows * stride + slack);
        storage.resize(rows * stride + slack, fill);
        let start = storage.as_ptr().align_offset(LINE_BYTES).min(slack);
        Self { storage, start, stride }
    }

    /// Rows of `len` values each, read from adjacent encodings of `N` bytes a value, `fill` behind each row.
    ///
    /// Every byte of memory is written once: fresh memory is dearer than the copy.
    pub(crate) fn read<const N: usize>(bytes: &[u8], rows: usize, len: usize, fill: T, value: impl Fn(&[u8; N]) -> T) -> Self {
        let stride = Self::stride_for(len);
        let slack = LINE_BYTES / size_of::<T>().max(1);
        let mut storage = Self::room(rows * stride + slack);
        let start = storage.as_ptr().align_offset(LINE_BYTES).min(slack);
        storage.resize(start, fill);
        let (values, _) = bytes.as_chunks::<N>();
        if stride == len {
            storage.extend(values.iter().map(value));
        } else {
            for row in values.chunks(len.max(1)) {
                storage.extend(row.iter().map(&value));
                storage.resize(storage.len() + stride - len, fill);
            }
        }
        storage.resize(start + rows * stride, fill);
        Self { storage, start, stride }
    }

    fn room(values: usize) -> Vec<T> {
        let mut storage = Vec::with_capacity(values);
        ask_for_huge_pages(storage.spare_capacity_mut());
        storage
    }

    /// A stride of at least `len` values at which rows lie on as few cache lines as they can.
    pub(crate) fn stride_for(len: usize) -> usize {
        let line = (LINE_BYTES / size_of::<T>().max(1)).max(1);
        if len >= line { len.next_multiple_of(line) } else { len.max(1).next_power_of_two() }
    }

    /// Values from one row's start to the next one's.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// All rows.
    #[inline]
    pub(crate) fn all(&self) -> &[T] {
        &self.storage[self.start..]
    }

    /// One row, padding included.
    #[inline]
    pub(crate) fn row(&self, row: usize) -> &[T] {
        &self.storage[self.start + row * self.stride..][..self.stride]
    }

    /// Asks for one row.
    #[inline]
    pub(crate) fn prefetch(&self, row: usize) {
        // Rows no longer than a line lie on one.
        if size_of::<T>() * self.stride <= LINE_BYTES { prefetch_start(self.row(row)) } else { prefetch(self.row(row)) }
    }

    /// One row to write.
    pub(crate) fn row_mut(&mut self, row: usize) -> &mut [T] {
        &mut self.storage[self.start + row * self.stride..][..self.stride]
    }

    /// Bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.storage.capacity() * size_of::<T>()
    }
}
