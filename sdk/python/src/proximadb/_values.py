"""Ids, metadata and filters as plain JSON values, checked only for what JSON cannot say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import numpy as np

from .errors import InvalidArgumentError

RecordId: TypeAlias = str | int | UUID
Metadata: TypeAlias = Mapping[str, Any]
Filter: TypeAlias = Mapping[str, Any]

_DEPTH_MAX = 64
# Over these, one protocol would round and the other has no form.
_INTEGER_MIN, _INTEGER_MAX = -(2**63), 2**64 - 1


def record_id(value: object, field: str = "id") -> str:
    """The text of an id; an integer means its decimal text."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return str(int(value))
    if isinstance(value, UUID):
        return str(value)
    raise InvalidArgumentError(f"must be text or an integer, got {type(value).__name__}", field=field)


def record_ids(values: object, field: str = "ids") -> list[str]:
    """The texts of ids."""
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Sequence):
        raise InvalidArgumentError(f"must be a list of ids, got {type(values).__name__}", field=field)
    return [record_id(value, f"{field}[{i}]") for i, value in enumerate(values)]


def timestamp(value: datetime | str) -> str:
    """A point in time as RFC 3339 text."""
    return rfc3339(value, "expires") if isinstance(value, datetime) else value


def rfc3339(value: datetime, field: str) -> str:
    """A datetime as RFC 3339 text. Raises InvalidArgumentError for one without a time zone: it could mean 24 points in time."""
    if value.tzinfo is None:
        raise InvalidArgumentError("a datetime needs a time zone", field=field)
    return value.isoformat()


def plain_object(value: object, field: str) -> dict[str, Any]:
    """A mapping as a plain dict all the way down."""
    if not isinstance(value, Mapping):
        raise InvalidArgumentError(f"must be a mapping, got {type(value).__name__}", field=field)
    return _object(value, field, 0)


def _object(value: Mapping[Any, Any], field: str, depth: int) -> dict[str, Any]:
    out = {}
    for key, inner in value.items():
        if not isinstance(key, str):
            raise InvalidArgumentError(f"keys must be text, got {key!r}", field=field)
        # Most metadata is flat text; the path of a field is only spelled out where something may go wrong.
        out[key] = inner if type(inner) is str else plain(inner, f"{field}.{key}", depth + 1)
    return out


def plain(value: object, field: str, depth: int = 0) -> Any:
    """A value as JSON knows it: numpy scalars and arrays, datetimes and uuids become what they mean."""
    if depth > _DEPTH_MAX:
        raise InvalidArgumentError(f"is nested deeper than {_DEPTH_MAX} levels", field=field)
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        if not _INTEGER_MIN <= value <= _INTEGER_MAX:
            raise InvalidArgumentError("integers must fit 64 bits", field=field)
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidArgumentError("must be a finite number", field=field)
        return float(value)
    if isinstance(value, Mapping):
        return _object(value, field, depth)
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{field}[{i}]", depth + 1) for i, item in enumerate(value)]
    if isinstance(value, np.generic):
        return plain(value.item(), field, depth + 1)
    if isinstance(value, np.ndarray):
        return plain(value.tolist(), field, depth + 1)
    if isinstance(value, datetime):
        return rfc3339(value, field)
    if isinstance(value, UUID):
        return str(value)
    raise InvalidArgumentError(f"cannot be written as JSON: {type(value).__name__}", field=field)
