"""The embedded engines: Qdrant edge, LanceDB, Milvus Lite, zvec. Each holds the attributes too and answers filters itself; graphs of 32
links a node at the bottom and a construction breadth of 200, one segment where that can be asked for."""

import os
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from dataset import Filter
from peer import THREADS, Params, Peer, ladder

BREADTHS = (10, 16, 32, 64, 128, 256, 512, 1024)
FILTER_BREADTHS = (16, 64, 256)
M, EF_CONSTRUCTION = 16, 200
BATCH = 2_000


def slices(rows: int, size: int = BATCH) -> Iterator[range]:
    """All rows in order, so many at a time."""
    return (range(start, min(start + size, rows)) for start in range(0, rows, size))


class Engine(Peer):
    kind = "embedded"

    def records(self, rows: range) -> Iterator[tuple[int, list[float], dict[str, int]]]:
        """Id, vector and attributes of some rows, as Python's own values."""
        columns = {field: column[rows.start : rows.stop].tolist() for field, column in self.data.payload.items()}
        vectors = self.data.base[rows.start : rows.stop].tolist()
        for place, row in enumerate(rows):
            yield row, vectors[place], {field: column[place] for field, column in columns.items()}


class QdrantEdge(Engine):
    name, package = "qdrant-edge", "qdrant-edge-py"
    breadths: ClassVar[list[Params]] = ladder("ef", *BREADTHS)
    filter_breadths: ClassVar[list[Params]] = ladder("ef", *FILTER_BREADTHS)

    def open(self) -> None:
        import qdrant_edge

        self.api = qdrant_edge

    def build(self) -> None:
        api = self.api
        folder = self.folder / "shard"
        folder.mkdir()
        graph = api.HnswIndexConfig(
            m=M, ef_construct=EF_CONSTRUCTION, full_scan_threshold=10_000, max_indexing_threads=THREADS
        )
        optimizers = api.EdgeOptimizersConfig(
            default_segment_number=1, max_segment_size=10_000_000, indexing_threshold=1_000
        )
        vectors = api.EdgeVectorParams(size=self.data.dimension, distance=api.Distance.Cosine)
        self.shard = api.EdgeShard.create(
            str(folder), api.EdgeConfig(vectors=vectors, hnsw_config=graph, optimizers=optimizers)
        )
        for field in self.data.payload:
            self.shard.update(api.UpdateOperation.create_field_index(field, api.PayloadSchemaType.Integer))
        for rows in slices(self.data.rows):
            points = [api.Point(row, vector, payload) for row, vector, payload in self.records(rows)]
            self.shard.update(api.UpdateOperation.upsert_points(points))
        self.shard.flush()
        for _ in range(50):
            # Says whether there was something to do.
            if not self.shard.optimize():
                return
        raise RuntimeError("qdrant edge still optimizes after 50 rounds")

    def search(self, query: np.ndarray, k: int, params: Params, allow: Any = None) -> list[int]:
        api = self.api
        request = api.SearchRequest(
            query=api.Query.Nearest(query.tolist()),
            limit=k,
            filter=allow,
            params=api.SearchParams(hnsw_ef=params["ef"]),
        )
        return [point.id for point in self.shard.search(request)]

    def allow(self, allowed: Filter) -> Any:
        bounds = self.api.RangeFloat(gte=float(allowed.least), lte=float(allowed.most))
        return self.api.Filter(must=[self.api.FieldCondition(allowed.field, range=bounds)])

    def close(self) -> None:
        self.shard.close()


class LanceDb(Engine):
    """Its graph is over scalar codes; the originals settle the order of `refine` times as many as are asked for."""

    name, package = "lancedb", "lancedb"
    breadths: ClassVar[list[Params]] = [
        {"ef": ef, "refine": refine}
        for ef, refine in ((16, 1), (24, 2), (48, 3), (96, 4), (192, 6), (384, 10), (768, 16))
    ]
    filter_breadths: ClassVar[list[Params]] = [
        {"ef": ef, "refine": refine} for ef, refine in ((64, 3), (256, 6), (768, 16))
    ]

    def open(self) -> None:
        os.environ.setdefault("LANCE_LOG", "error")
        import lancedb
        import pyarrow

        self.api, self.arrow = lancedb, pyarrow

    def rows(self, rows: range) -> Any:
        flat = self.arrow.array(self.data.base[rows.start : rows.stop].reshape(-1))
        columns = {
            "id": self.arrow.array(np.arange(rows.start, rows.stop)),
            "vector": self.arrow.FixedSizeListArray.from_arrays(flat, self.data.dimension),
        }
        for field, column in self.data.payload.items():
            columns[field] = self.arrow.array(column[rows.start : rows.stop])
        return self.arrow.table(columns)

    def build(self) -> None:
        database = self.api.connect(str(self.folder / "lance"))
        first, *others = slices(self.data.rows, 20_000)
        self.table = database.create_table("bench", self.rows(first))
        for rows in others:
            self.table.add(self.rows(rows))
        self.table.optimize()
        self.table.create_index(
            metric="cosine",
            vector_column_name="vector",
            index_type="IVF_HNSW_SQ",
            num_partitions=1,
            m=M,
            ef_construction=EF_CONSTRUCTION,
        )
        for field in self.data.payload:
            self.table.create_scalar_index(field)

    def search(self, query: np.ndarray, k: int, params: Params, allow: Any = None) -> list[int]:
        wanted = self.table.search(query).select(["id", "_distance"]).limit(k).nprobes(1)
        wanted = wanted.ef(max(params["ef"], k * params["refine"]))
        if params["refine"] > 1:
            wanted = wanted.refine_factor(params["refine"])
        if allow is not None:
            wanted = wanted.where(allow, prefilter=True)
        return wanted.to_arrow()["id"].to_pylist()

    def allow(self, allowed: Filter) -> Any:
        return f"{allowed.field} >= {allowed.least} AND {allowed.field} <= {allowed.most}"


class MilvusLite(Engine):
    name, package = "milvus-lite", "milvus-lite"
    breadths: ClassVar[list[Params]] = ladder("ef", *BREADTHS)
    filter_breadths: ClassVar[list[Params]] = ladder("ef", *FILTER_BREADTHS)

    def open(self) -> None:
        import milvus_lite  # noqa: F401  # MilvusClient would ask for it only when it opens the file
        import pymilvus

        self.api = pymilvus

    def build(self) -> None:
        api = self.api
        self.client = api.MilvusClient(str(self.folder / "milvus.db"))
        schema = self.client.create_schema(auto_id=False)
        schema.add_field("id", api.DataType.INT64, is_primary=True)
        schema.add_field("vector", api.DataType.FLOAT_VECTOR, dim=self.data.dimension)
        for field in self.data.payload:
            schema.add_field(field, api.DataType.INT64)
        indexes = self.client.prepare_index_params()
        indexes.add_index(
            "vector", index_type="HNSW", metric_type="COSINE", params={"M": M, "efConstruction": EF_CONSTRUCTION}
        )
        self.client.create_collection("bench", schema=schema, index_params=indexes)
        for rows in slices(self.data.rows):
            self.client.insert(
                "bench", [{"id": row, "vector": vector} | payload for row, vector, payload in self.records(rows)]
            )
        self.client.flush("bench")
        self.client.load_collection("bench")

    def search(self, query: np.ndarray, k: int, params: Params, allow: Any = None) -> list[int]:
        (hits,) = self.client.search(
            "bench",
            [query.tolist()],
            limit=k,
            filter=allow or "",
            search_params={"params": {"ef": max(params["ef"], k)}},
            output_fields=[],
        )
        return [hit["id"] for hit in hits]

    def allow(self, allowed: Filter) -> Any:
        return f"{allowed.field} >= {allowed.least} and {allowed.field} <= {allowed.most}"

    def close(self) -> None:
        self.client.close()


class Zvec(Engine):
    name, package = "zvec", "zvec"
    breadths: ClassVar[list[Params]] = ladder("ef", *BREADTHS)
    filter_breadths: ClassVar[list[Params]] = ladder("ef", *FILTER_BREADTHS)

    def open(self) -> None:
        import zvec

        self.api = zvec
        zvec.init(log_dir=str(self.folder), query_threads=THREADS, optimize_threads=THREADS)

    def build(self) -> None:
        api = self.api
        graph = api.HnswIndexParam(metric_type=api.MetricType.COSINE, m=M, ef_construction=EF_CONSTRUCTION)
        ranges = api.InvertIndexParam(enable_range_optimization=True)
        schema = api.CollectionSchema(
            name="bench",
            fields=[api.FieldSchema(field, api.DataType.INT64, index_param=ranges) for field in self.data.payload],
            vectors=[api.VectorSchema("vector", api.DataType.VECTOR_FP32, self.data.dimension, index_param=graph)],
        )
        self.collection = api.create_and_open(str(self.folder / "zvec"), schema)
        for rows in slices(self.data.rows, 1_000):
            self.collection.insert(
                [
                    api.Doc(id=str(row), vectors={"vector": vector}, fields=payload)
                    for row, vector, payload in self.records(rows)
                ]
            )
        self.collection.flush()
        self.collection.optimize()

    def search(self, query: np.ndarray, k: int, params: Params, allow: Any = None) -> list[int]:
        wanted = self.api.Query("vector", vector=query, param=self.api.HnswQueryParam(ef=max(params["ef"], k)))
        return [int(found.id) for found in self.collection.query(wanted, topk=k, filter=allow, output_fields=[])]

    def allow(self, allowed: Filter) -> Any:
        return f"{allowed.field} >= {allowed.least} and {allowed.field} <= {allowed.most}"


ENGINES: list[type[Peer]] = [QdrantEdge, LanceDb, MilvusLite, Zvec]
