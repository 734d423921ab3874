//! Owns the documented panics and the edge cases of the free functions.

use proximadb_kernels::{
    Level, active, active_level, cosine, dot, dot_block, dot_gather, dot_i8_gather, kernels_at, norm_squared, normalize, prefetch,
    prefetch_start,
};

#[test]
fn the_active_level_is_one_the_processor_has() {
    let kernels = kernels_at(active_level()).expect("the active level is supported");
    assert_eq!(kernels.level(), active().level());
    assert!(kernels_at(Level::Scalar).is_some());
}

#[test]
#[should_panic(expected = "query and row differ in length")]
fn a_row_of_another_length_is_refused() {
    dot(&[1.0; 16], &[1.0; 15]);
}

#[test]
#[should_panic(expected = "block is not one row of the query's length for each score")]
fn a_block_that_is_short_is_refused() {
    dot_block(&[1.0; 8], &[1.0; 23], &mut [0.0; 3]);
}

#[test]
#[should_panic(expected = "row 3 lies outside the rows")]
fn an_id_beyond_the_rows_is_refused() {
    dot_gather(&[1.0; 8], &[1.0; 24], &[0, 3, 1], &mut [0.0; 3]);
}

#[test]
#[should_panic(expected = "ids and scores differ in length")]
fn ids_without_a_place_for_their_score_are_refused() {
    dot_gather(&[1.0; 8], &[1.0; 24], &[0, 1], &mut [0.0; 3]);
}

#[test]
#[should_panic(expected = "overlap at a stride of 7")]
fn a_stride_shorter_than_the_row_is_refused() {
    dot_i8_gather(&[1; 8], &[1; 24], 7, &[0], &mut [0]);
}

#[test]
fn the_last_row_needs_no_padding() {
    let mut scores = [0; 2];
    dot_i8_gather(&[1, 2], &[3, 4, 99, 5, 6], 3, &[1, 0], &mut scores);
    assert_eq!(scores, [17, 11]);
}

#[test]
fn nothing_to_score_is_no_error() {
    dot_block(&[1.0; 8], &[], &mut []);
    dot_gather(&[1.0; 8], &[], &[], &mut []);
    let mut scores = [9.0; 3];
    dot_block(&[], &[], &mut scores);
    assert_eq!(scores, [0.0; 3]);
    prefetch::<f32>(&[]);
    prefetch(&[0_u8; 1000]);
    prefetch(&[(); 3]);
    prefetch_start(&[0_u8; 1000][1..]);
    prefetch_start::<f32>(&[]);
}

#[test]
fn normalize_gives_norm_one_over_the_whole_range() {
    for magnitude in [1e-45, 1e-40, 1e-30, 1e-20, 1e-12, 1.0, 1e15, 1e25, f32::MAX] {
        let mut v = [magnitude; 100];
        assert!(normalize(&mut v), "{magnitude}");
        assert!((norm_squared(&v) - 1.0).abs() < 1e-5, "{magnitude}: {}", norm_squared(&v));
    }
}

#[test]
fn normalize_leaves_what_has_no_direction() {
    for bad in [0.0, f32::INFINITY, f32::NAN] {
        let mut v = [0.0, bad, 0.0];
        assert!(!normalize(&mut v));
        assert_eq!(v[1].to_bits(), bad.to_bits());
    }
    assert!(!normalize(&mut []));
}

#[test]
fn cosine_of_a_zero_row_is_zero() {
    assert_eq!(cosine(&[1.0, 0.0], &[0.0, 0.0]), 0.0);
    assert_eq!(cosine(&[1.0, 0.0], &[1e-40, 0.0]), 1.0);
    assert_eq!(cosine(&[1.0, 0.0], &[-1e38, 0.0]), -1.0);
}
