"""Filters as typed messages, read from their Mongo-like form.

What the form cannot mean is refused here, with the field named as the server does over REST: it has no message to travel in.
Limits of depth and size are the server's to judge.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import InvalidArgumentError
from ..v1.filter_pb2 import FieldTest, Filter, FilterList
from .value import set_value, text

OPERATORS = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$not", "$contains", "$prefix")

_VALUES = {"$eq": "eq", "$ne": "ne", "$contains": "contains"}
_ORDERS = {"$gt": "gt", "$gte": "gte", "$lt": "lt", "$lte": "lte"}
_LISTS = {"$in": "one_of", "$nin": "none_of"}


def to_message(filter: dict[str, Any], field: str = "filter") -> Filter:
    """The message for a filter of plain values. Raises InvalidArgumentError naming the place that is not understood."""
    parts = []
    for key, value in filter.items():
        place = f"{field}.{key}"
        if key == "$and":
            parts.append(Filter(all_of=FilterList(filters=_branches(value, place))))
        elif key == "$or":
            parts.append(Filter(any_of=FilterList(filters=_branches(value, place))))
        elif key == "$not":
            parts.append(Filter(negated=_inner(value, place)))
        elif key.startswith("$"):
            raise _invalid(place, "unknown operator; here $and, $or, $not or a field's name may stand")
        elif not key:
            raise _invalid(field, "a field's name must not be empty")
        else:
            parts.extend(_field(key, value, place))
    return _all(parts)


def _inner(value: Any, place: str) -> Filter:
    if not isinstance(value, dict):
        raise _invalid(place, f"must be an object, got {_kind(value)}")
    return to_message(value, place)


def _branches(value: Any, place: str) -> list[Filter]:
    if not isinstance(value, list):
        raise _invalid(place, f"must be a list of filters, got {_kind(value)}")
    if not value:
        raise _invalid(place, "must not be an empty list")
    return [_inner(item, f"{place}[{i}]") for i, item in enumerate(value)]


def _field(path: str, value: Any, place: str) -> list[Filter]:
    if not isinstance(value, dict):
        return [_test(path, "$eq", value, place)]
    if not any(key.startswith("$") for key in value):
        raise _invalid(place, f"must be a value or operators ({', '.join(OPERATORS)})")
    parts = []
    for operator, operand in value.items():
        inner = f"{place}.{operator}"
        if operator != "$not":
            parts.append(_test(path, operator, operand, inner))
        elif isinstance(operand, dict) and operand and all(key.startswith("$") for key in operand):
            parts.append(Filter(negated=_all(_field(path, operand, inner))))
        else:
            raise _invalid(inner, "must be an object of operators")
    return parts


def _test(path: str, operator: str, operand: Any, place: str) -> Filter:
    test = FieldTest(path=text(path, place))
    fill = _filler(operator, operand, place)
    fill(test)
    return Filter(field=test)


def _filler(operator: str, operand: Any, place: str) -> Callable[[FieldTest], None]:
    def value(name: str) -> Callable[[FieldTest], None]:
        return lambda test: set_value(getattr(test, name), operand, place)

    if operator in _VALUES:
        return value(_VALUES[operator])
    if operator in _ORDERS:
        if operand is None or isinstance(operand, (list, dict)):
            raise _invalid(place, f"must be a number, text or bool, got {_kind(operand)}")
        return value(_ORDERS[operator])
    if operator in _LISTS:
        if not isinstance(operand, list):
            raise _invalid(place, f"must be a list, got {_kind(operand)}")
        return lambda test: _fill_list(getattr(test, _LISTS[operator]), operand, place)
    if operator == "$exists":
        if not isinstance(operand, bool):
            raise _invalid(place, f"must be true or false, got {_kind(operand)}")
        return lambda test: setattr(test, "exists", operand)
    if operator == "$prefix":
        if not isinstance(operand, str):
            raise _invalid(place, f"must be text, got {_kind(operand)}")
        return lambda test: setattr(test, "prefix", text(operand, place))
    raise _invalid(place, f"unknown operator; known are {', '.join(OPERATORS)}")


def _fill_list(message: Any, items: list[Any], place: str) -> None:
    message.SetInParent()
    for i, item in enumerate(items):
        set_value(message.values.add(), item, f"{place}[{i}]")


def _all(parts: list[Filter]) -> Filter:
    return parts[0] if len(parts) == 1 else Filter(all_of=FilterList(filters=parts))


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    kinds = {bool: "bool", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return kinds.get(type(value), type(value).__name__)


def _invalid(field: str, reason: str) -> InvalidArgumentError:
    return InvalidArgumentError(reason, field=field)
