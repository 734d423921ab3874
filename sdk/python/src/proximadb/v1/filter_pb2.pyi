from proximadb.v1 import value_pb2 as _value_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Filter(_message.Message):
    __slots__ = ("all_of", "any_of", "negated", "field")
    ALL_OF_FIELD_NUMBER: _ClassVar[int]
    ANY_OF_FIELD_NUMBER: _ClassVar[int]
    NEGATED_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    all_of: FilterList
    any_of: FilterList
    negated: Filter
    field: FieldTest
    def __init__(self, all_of: _Optional[_Union[FilterList, _Mapping]] = ..., any_of: _Optional[_Union[FilterList, _Mapping]] = ..., negated: _Optional[_Union[Filter, _Mapping]] = ..., field: _Optional[_Union[FieldTest, _Mapping]] = ...) -> None: ...

class FilterList(_message.Message):
    __slots__ = ("filters",)
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    filters: _containers.RepeatedCompositeFieldContainer[Filter]
    def __init__(self, filters: _Optional[_Iterable[_Union[Filter, _Mapping]]] = ...) -> None: ...

class FieldTest(_message.Message):
    __slots__ = ("path", "eq", "ne", "gt", "gte", "lt", "lte", "one_of", "none_of", "exists", "contains", "prefix")
    PATH_FIELD_NUMBER: _ClassVar[int]
    EQ_FIELD_NUMBER: _ClassVar[int]
    NE_FIELD_NUMBER: _ClassVar[int]
    GT_FIELD_NUMBER: _ClassVar[int]
    GTE_FIELD_NUMBER: _ClassVar[int]
    LT_FIELD_NUMBER: _ClassVar[int]
    LTE_FIELD_NUMBER: _ClassVar[int]
    ONE_OF_FIELD_NUMBER: _ClassVar[int]
    NONE_OF_FIELD_NUMBER: _ClassVar[int]
    EXISTS_FIELD_NUMBER: _ClassVar[int]
    CONTAINS_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    path: str
    eq: _value_pb2.Value
    ne: _value_pb2.Value
    gt: _value_pb2.Value
    gte: _value_pb2.Value
    lt: _value_pb2.Value
    lte: _value_pb2.Value
    one_of: _value_pb2.ListValue
    none_of: _value_pb2.ListValue
    exists: bool
    contains: _value_pb2.Value
    prefix: str
    def __init__(self, path: _Optional[str] = ..., eq: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., ne: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., gt: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., gte: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., lt: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., lte: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., one_of: _Optional[_Union[_value_pb2.ListValue, _Mapping]] = ..., none_of: _Optional[_Union[_value_pb2.ListValue, _Mapping]] = ..., exists: bool = ..., contains: _Optional[_Union[_value_pb2.Value, _Mapping]] = ..., prefix: _Optional[str] = ...) -> None: ...
