from proximadb.v1 import admin_pb2 as _admin_pb2
from proximadb.v1 import collection_pb2 as _collection_pb2
from proximadb.v1 import record_pb2 as _record_pb2
from proximadb.v1 import search_pb2 as _search_pb2
from proximadb.v1 import write_pb2 as _write_pb2
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor
