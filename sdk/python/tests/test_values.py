"""What ids, vectors, metadata and bulk writes become before they are sent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from proximadb import InvalidArgumentError
from proximadb._batches import BATCH_BYTES_MAX, batches, new_records
from proximadb._dialect import Encoded
from proximadb._values import plain_object, record_id, record_ids
from proximadb._vectors import from_wire, row, rows, to_base64


def test_ids_are_text_and_integers_mean_their_decimal_text() -> None:
    uid = UUID("0190f3a2-7c4e-7d11-8a5b-0123456789ab")
    assert record_ids(["a", 7, np.int64(-3), uid]) == ["a", "7", "-3", str(uid)]
    assert record_ids(np.arange(3)) == ["0", "1", "2"]
    assert record_id(np.str_("x")) == "x"


@pytest.mark.parametrize("bad", [True, 1.0, None, b"x"])
def test_other_ids_are_refused(bad: Any) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        record_id(bad)
    assert caught.value.field == "id"
    with pytest.raises(InvalidArgumentError) as caught:
        record_ids(["a", bad])
    assert caught.value.field == "ids[1]"


@pytest.mark.parametrize(
    "form",
    [list, tuple, np.array, lambda v: np.array(v, "f8"), lambda v: np.array(v, ">f4"), lambda v: np.repeat(v, 2)[::2]],
)
def test_every_form_of_a_vector_becomes_the_same_bytes(form: Any) -> None:
    assert row(form([1.0, 2.5, -3.0])).tobytes() == np.array([1.0, 2.5, -3.0], "<f4").tobytes()


def test_integers_are_numbers() -> None:
    assert row([1, 2]).tolist() == [1.0, 2.0]
    assert row(np.array([1, 2], np.uint8)).tolist() == [1.0, 2.0]


def test_what_the_server_judges_is_sent_as_it_is() -> None:
    sent = row([float("nan"), 1e39])
    assert np.isnan(sent[0]) and np.isinf(sent[1])
    assert row([]).shape == (0,)


@pytest.mark.parametrize(
    "bad", [["1", "2"], "12", b"12", [1 + 2j], [None, 1.0], [[1.0], [2.0]], 3.0, [[1.0], [2.0, 3.0]], [{}]]
)
def test_what_numpy_would_make_garbage_of_is_refused(bad: Any) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        row(bad)
    assert caught.value.field == "vector"


def test_a_matrix_is_cast_at_once_and_a_list_row_by_row() -> None:
    matrix = np.arange(6, dtype=np.float64).reshape(2, 3)
    assert isinstance(rows(matrix), np.ndarray)
    assert [r.tolist() for r in rows(matrix)] == [r.tolist() for r in rows(matrix.tolist())]
    # Rows of another length are the server's to refuse, which knows the dimension.
    assert [len(r) for r in rows([[1.0], [1.0, 2.0]])] == [1, 2]
    already = np.zeros((2, 3), "<f4")
    assert np.shares_memory(rows(already), already)


@pytest.mark.parametrize(
    ("bad", "field"), [(np.zeros(3), "vectors"), ("ab", "vectors"), (3, "vectors"), ([[1.0], "x"], "vectors[1]")]
)
def test_what_is_no_list_of_vectors_is_refused(bad: Any, field: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        rows(bad)
    assert caught.value.field == field


def test_vectors_come_back_from_every_form() -> None:
    vector = np.array([0.1, -1e-40, 3.4e38], np.float32)
    for form in (to_base64(row(vector)), vector.tobytes(), [float(v) for v in vector]):
        back = from_wire(form)
        assert back is not None and back.dtype == np.float32 and back.tobytes() == vector.tobytes()
    assert from_wire(None) is None


def test_metadata_becomes_plain() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    given = {
        "a": np.int64(1),
        "b": np.float32(0.5),
        "c": np.array([1, 2]),
        "d": moment,
        "e": (True, None),
        "f": {"g": np.bool_(True)},
    }
    assert plain_object(given, "metadata") == {
        "a": 1,
        "b": 0.5,
        "c": [1, 2],
        "d": "2026-01-02T03:04:05+00:00",
        "e": [True, None],
        "f": {"g": True},
    }
    assert plain_object({"min": -(2**63), "max": 2**64 - 1}, "m") == {"min": -(2**63), "max": 2**64 - 1}


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"a": {"b": [1, float("nan")]}}, "metadata.a.b[1]"),
        ({"a": float("inf")}, "metadata.a"),
        ({"a": 2**64}, "metadata.a"),
        ({"a": -(2**63) - 1}, "metadata.a"),
        ({"a": object()}, "metadata.a"),
        ({"a": datetime(2026, 1, 1)}, "metadata.a"),
        ({1: "a"}, "metadata"),
        (["a"], "metadata"),
    ],
)
def test_what_json_cannot_say_is_refused_by_its_place(bad: Any, field: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        plain_object(bad, "metadata")
    assert caught.value.field == field


def test_nesting_without_end_is_refused() -> None:
    loop: dict[str, Any] = {}
    loop["a"] = loop
    with pytest.raises(InvalidArgumentError, match="nested deeper"):
        plain_object(loop, "metadata")


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        ((["a"], np.zeros((2, 3)), None), "vectors"),
        ((["a", "b"], np.zeros((2, 3)), [{}]), "metadata"),
        ((["a", "b"], np.zeros((2, 3)), {"a": 1, "b": 2}), "metadata"),
    ],
)
def test_columns_of_different_lengths_are_refused(columns: Any, field: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        new_records(*columns, None)
    assert caught.value.field == field


def test_batches_are_cut_by_count_and_by_bytes() -> None:
    small = [Encoded(i, 10) for i in range(7)]
    assert [len(batch) for batch in batches(small, 3)] == [3, 3, 1]
    large = [Encoded(i, BATCH_BYTES_MAX // 2) for i in range(5)]
    assert [len(batch) for batch in batches(large, 1000)] == [2, 2, 1]
    assert [len(batch) for batch in batches([Encoded(0, BATCH_BYTES_MAX * 2)] * 2, 1000)] == [1, 1]
    assert list(batches([], 3)) == []
