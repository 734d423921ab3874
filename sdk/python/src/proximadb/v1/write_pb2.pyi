from proximadb.v1 import filter_pb2 as _filter_pb2
from proximadb.v1 import record_pb2 as _record_pb2
from proximadb.v1 import value_pb2 as _value_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Durability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DURABILITY_UNSPECIFIED: _ClassVar[Durability]
    DURABILITY_SYNC: _ClassVar[Durability]
    DURABILITY_ASYNC: _ClassVar[Durability]
DURABILITY_UNSPECIFIED: Durability
DURABILITY_SYNC: Durability
DURABILITY_ASYNC: Durability

class WriteRequest(_message.Message):
    __slots__ = ("collection", "insert", "upsert", "patch", "delete", "delete_where", "durability", "idempotency_key", "avro")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    INSERT_FIELD_NUMBER: _ClassVar[int]
    UPSERT_FIELD_NUMBER: _ClassVar[int]
    PATCH_FIELD_NUMBER: _ClassVar[int]
    DELETE_FIELD_NUMBER: _ClassVar[int]
    DELETE_WHERE_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    AVRO_FIELD_NUMBER: _ClassVar[int]
    collection: str
    insert: _containers.RepeatedCompositeFieldContainer[_record_pb2.Record]
    upsert: _containers.RepeatedCompositeFieldContainer[_record_pb2.Record]
    patch: _containers.RepeatedCompositeFieldContainer[Patch]
    delete: _containers.RepeatedScalarFieldContainer[str]
    delete_where: _containers.RepeatedCompositeFieldContainer[_filter_pb2.Filter]
    durability: Durability
    idempotency_key: str
    avro: bytes
    def __init__(self, collection: _Optional[str] = ..., insert: _Optional[_Iterable[_Union[_record_pb2.Record, _Mapping]]] = ..., upsert: _Optional[_Iterable[_Union[_record_pb2.Record, _Mapping]]] = ..., patch: _Optional[_Iterable[_Union[Patch, _Mapping]]] = ..., delete: _Optional[_Iterable[str]] = ..., delete_where: _Optional[_Iterable[_Union[_filter_pb2.Filter, _Mapping]]] = ..., durability: _Optional[_Union[Durability, str]] = ..., idempotency_key: _Optional[str] = ..., avro: _Optional[bytes] = ...) -> None: ...

class Patch(_message.Message):
    __slots__ = ("id", "metadata", "vector")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _value_pb2.Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_value_pb2.Value, _Mapping]] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    id: str
    metadata: _containers.MessageMap[str, _value_pb2.Value]
    vector: _record_pb2.Vector
    def __init__(self, id: _Optional[str] = ..., metadata: _Optional[_Mapping[str, _value_pb2.Value]] = ..., vector: _Optional[_Union[_record_pb2.Vector, _Mapping]] = ...) -> None: ...

class WriteResponse(_message.Message):
    __slots__ = ("upserted", "inserted", "patched", "deleted", "durable", "sequence", "replayed")
    UPSERTED_FIELD_NUMBER: _ClassVar[int]
    INSERTED_FIELD_NUMBER: _ClassVar[int]
    PATCHED_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    DURABLE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    upserted: int
    inserted: int
    patched: int
    deleted: int
    durable: bool
    sequence: int
    replayed: bool
    def __init__(self, upserted: _Optional[int] = ..., inserted: _Optional[int] = ..., patched: _Optional[int] = ..., deleted: _Optional[int] = ..., durable: bool = ..., sequence: _Optional[int] = ..., replayed: bool = ...) -> None: ...

class WriteStreamResponse(_message.Message):
    __slots__ = ("messages", "upserted", "inserted", "patched", "deleted", "durable", "sequence")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    UPSERTED_FIELD_NUMBER: _ClassVar[int]
    INSERTED_FIELD_NUMBER: _ClassVar[int]
    PATCHED_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    DURABLE_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    messages: int
    upserted: int
    inserted: int
    patched: int
    deleted: int
    durable: bool
    sequence: int
    def __init__(self, messages: _Optional[int] = ..., upserted: _Optional[int] = ..., inserted: _Optional[int] = ..., patched: _Optional[int] = ..., deleted: _Optional[int] = ..., durable: bool = ..., sequence: _Optional[int] = ...) -> None: ...
