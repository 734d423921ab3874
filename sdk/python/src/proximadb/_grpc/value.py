"""Metadata values between plain JSON values and their messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InvalidArgumentError
from ..v1.value_pb2 import Value


def set_value(message: Value, value: Any, field: str) -> None:
    """Fills a message with a value as `_values.plain` gives it: integers fit 64 bits, numbers are finite."""
    if isinstance(value, str):
        message.string_value = text(value, field)
    elif value is None:
        message.null_value = 0  # type: ignore[assignment]
    elif isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, int):
        if value < 2**63:
            message.int_value = value
        else:
            message.uint_value = value
    elif isinstance(value, float):
        message.double_value = value
    elif isinstance(value, dict):
        message.struct_value.SetInParent()
        set_fields(message.struct_value.fields, value, field)
    else:
        message.list_value.SetInParent()
        for i, item in enumerate(value):
            set_value(message.list_value.values.add(), item, f"{field}[{i}]")


def set_fields(fields: Any, values: dict[str, Any], field: str) -> None:
    """Fills a map of values."""
    for key, value in values.items():
        # Text and integers, as most metadata is, are spared the path that only an error needs.
        if type(value) is str:
            fields[text(key, field)].string_value = text(value, field)
        else:
            set_value(fields[text(key, field)], value, f"{field}.{key}")


def text(value: str, field: str) -> str:
    """The same text, once it is known to have a UTF-8 form."""
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InvalidArgumentError(f"is not valid Unicode text: {error.reason}", field=field) from None
    return value


def whole(value: Any, bits: int, field: str) -> int:
    """An integer that a message can carry. Raises InvalidArgumentError for what is none or does not fit."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgumentError(f"must be an integer, got {type(value).__name__}", field=field)
    if not 0 <= value < 1 << bits:
        raise InvalidArgumentError(f"must be 0 to {2**bits - 1}, got {value}", field=field)
    return value


def get_value(message: Value) -> Any:
    """The plain value in a message."""
    kind = message.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    if kind == "list_value":
        return [get_value(item) for item in message.list_value.values]
    if kind == "struct_value":
        return get_fields(message.struct_value.fields)
    return getattr(message, kind)


def get_fields(fields: Mapping[str, Value]) -> dict[str, Any]:
    """The plain values in a map, by name in the order of their names, as they come over REST."""
    return {key: get_value(fields[key]) for key in sorted(fields)}
