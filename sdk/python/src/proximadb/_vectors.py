"""Vectors between numpy and the wire: little-endian f32 bytes, as they are over gRPC and in base64 over REST.

Refuses only what numpy would turn into something the caller did not mean; dimension and finiteness are the server's to judge.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .errors import InternalError, InvalidArgumentError

FloatArray: TypeAlias = npt.NDArray[np.float32]
Vector: TypeAlias = Sequence[float] | npt.NDArray[Any]
Vectors: TypeAlias = Sequence[Vector] | npt.NDArray[Any]

_WIRE = np.dtype("<f4")
_NUMBERS = "biuf"


def row(vector: Vector, field: str = "vector") -> FloatArray:
    """One vector as contiguous little-endian f32.

    Raises InvalidArgumentError for what is not a flat list of numbers. A number too large for f32 becomes infinite, which
    the server refuses by its place.
    """
    return _cast(_array(vector, field), 1, field)


def rows(vectors: Vectors, field: str = "vectors") -> Sequence[FloatArray]:
    """Vectors as rows that are contiguous little-endian f32; a 2-D array is converted at once, a list vector by vector."""
    if isinstance(vectors, np.ndarray):
        matrix: Any = _cast(_array(vectors, field), 2, field)
        return matrix  # type: ignore[no-any-return]
    if isinstance(vectors, (str, bytes)) or not hasattr(vectors, "__len__"):
        raise InvalidArgumentError("must be a 2-D array or a list of vectors", field=field)
    return [row(vector, f"{field}[{i}]") for i, vector in enumerate(vectors)]


def to_base64(vector: FloatArray) -> str:
    """The text that stands for a row of `rows` in JSON."""
    return base64.b64encode(vector.data).decode("ascii")


def from_wire(data: Any) -> FloatArray | None:
    """A vector of an answer: base64 text, bytes, or an array of numbers."""
    if data is None:
        return None
    try:
        if isinstance(data, str):
            data = base64.b64decode(data, validate=True)
        if isinstance(data, bytes):
            return np.frombuffer(data, dtype=_WIRE).astype(np.float32)
        return np.asarray(data, dtype=np.float32)
    except (ValueError, TypeError, binascii.Error) as error:
        raise InternalError(f"the answer has a vector that cannot be read: {error}") from error


def f32(number: float) -> float:
    """The f32 nearest to a number of an answer, so that both protocols give the same score to the last bit."""
    return float(np.float32(number))


def _array(numbers: Any, field: str) -> npt.NDArray[Any]:
    if isinstance(numbers, (str, bytes)):
        raise InvalidArgumentError("must be numbers, got text", field=field)
    try:
        array = np.asarray(numbers)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidArgumentError(f"must be a flat list of numbers: {error}", field=field) from error
    # An empty list has no numbers to tell its type by; the server says what it thinks of it.
    if array.dtype.kind not in _NUMBERS and array.size:
        raise InvalidArgumentError(f"must be real numbers, got {array.dtype}", field=field)
    return array


def _cast(array: npt.NDArray[Any], dimensions: int, field: str) -> FloatArray:
    if array.ndim != dimensions:
        raise InvalidArgumentError(
            f"must have {dimensions} dimension(s), got an array of shape {array.shape}", field=field
        )
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(array, dtype=_WIRE)
