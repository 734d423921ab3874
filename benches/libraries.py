"""The vector index libraries: SymphonyQG, SVS, faiss, hnswlib, usearch. Each with parameters of its own documentation's order: 32 links
a node at the bottom, a construction breadth of 200 (SVS: 128)."""

from typing import Any, ClassVar

import numpy as np

from dataset import Filter
from peer import THREADS, Params, Peer, ladder

BREADTHS = (12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536)
M, EF_CONSTRUCTION, DEGREE = 16, 200, 32


class SymphonyQG(Peer):
    name, kind, package = "symphonyqg", "library", "rabitqlib"
    breadths: ClassVar[list[Params]] = ladder("ef", *BREADTHS)

    def open(self) -> None:
        import rabitqlib

        # Unit vectors: the order by distance is that by cosine.
        self.index = rabitqlib.SymqgIndex(self.data.dimension, DEGREE, "l2")

    def build(self) -> None:
        self.index.build(self.data.base, EF_CONSTRUCTION, THREADS)

    def search(self, query: np.ndarray, k: int, params: Params, allow: Any = None) -> list[int]:
        return self.index.search(query[None], k, max(params["ef"], k), 1)[0][0]

    def batch(self, queries: np.ndarray, k: int, params: Params, threads: int, allow: Any = None) -> Any:
        return self.index.search_batch(queries, k, max(params["ef"], k), threads)[0]


class Svs(Peer):
    name, kind, package = "svs", "library", "scalable-vs"
    breadths: ClassVar[list[Params]] = ladder("window", *BREADTHS)

    def open(self) -> None:
        import svs

        self.svs = svs

    def rows(self) -> Any:
        return self.data.base

    def build(self) -> None:
        parameters = self.svs.VamanaBuildParameters(
            alpha=1.2, graph_max_degree=DEGREE, window_size=128, max_candidate_pool_size=400, prune_to=DEGREE - 4
        )
        self.index = self.svs.Vamana.build(parameters, self.rows(), self.svs.DistanceType.L2, num_threads=THREADS)

    def prepare(self, k: int, params: Params, threads: int) -> None:
        if self.index.num_threads != threads:
            self.index.num_threads = threads
        if self.index.search_window_size != max(params["window"], k):
            self.index.search_window_size = max(params["window"], k)

    def search(self, query: np.ndarray, k: int, params: Params, allow: Any = None) -> list[int]:
        self.prepare(k, params, 1)
        return self.index.search(query[None], k)[0][0]

    def batch(self, queries: np.ndarray, k: int, params: Params, threads: int, allow: Any = None) -> Any:
        self.prepare(k, params, threads)
        return self.index.search(queries, k)[0]


class SvsLvq(Svs):
    name = "svs-lvq"

    def rows(self) -> Any:
        path = str(self.folder / "base.fvecs")
        self.svs.write_vecs(self.data.base, path)
        plain = self.svs.VectorDataLoader(path, self.svs.DataType.float32, dims=self.data.dimension)
        return self.svs.LVQLoader(plain, primary=4, residual=8, padding=32)


class FaissHnsw(Peer):
    name, kind, package = "faiss-hnsw", "library", "faiss-cpu"
    breadths: ClassVar[list[Params]] = ladder("ef", *BREADTHS)
    filter_breadths: ClassVar[list[Params]] = ladder("ef", 16, 32, 64, 128, 256, 512)

    def open(self) -> None:
        import faiss

        self.faiss = faiss

    def build(self) -> None:
        self.faiss.omp_set_num_threads(THREADS)
        self.index = self.faiss.IndexHNSWFlat(self.data.dimension, M, self.faiss.METRIC_INNER_PRODUCT)
        self.index.hnsw.efConstruction = EF_CONSTRUCTION
        self.index.add(self.data.base)

    def parameters(self, params: Params, allow: Any) -> Any:
        chosen = self.faiss.SearchParametersHNSW(efSearch=params["ef"])
        if allow is not None:
            chosen.sel = allow[0]
        return chosen

    def search(self, query: np.ndarray, k: int, params: Params, allow: Any = None) -> list[int]:
        return self.batch(query[None], k, params, 1, allow)[0]

    def batch(self, queries: np.ndarray, k: int, params: Params, threads: int, allow: Any = None) -> Any:
        if self.faiss.omp_get_max_threads() != threads:
            self.faiss.omp_set_num_threads(threads)
        return self.index.search(queries, k, params=self.parameters(params, allow))[1]

    def allow(self, allowed: Filter) -> Any:
        bits = np.packbits(self.data.mask(allowed), bitorder="little")
        return self.faiss.IDSelectorBitmap(bits), bits


class FaissFlat(FaissHnsw):
    """The exact scan, which under a narrow filter is the thing to beat."""

    name = "faiss-flat"
    breadths: ClassVar[list[Params]] = [{}]
    filter_breadths: ClassVar[list[Params]] = [{}]

    def build(self) -> None:
        self.index = self.faiss.IndexFlatIP(self.data.dimension)
        self.index.add(self.data.base)

    def parameters(self, params: Params, allow: Any) -> Any:
        return self.faiss.SearchParameters(sel=allow[0]) if allow is not None else None

    def allow(self, allowed: Filter) -> Any:
        # Given a list of rows, faiss gathers them; given a bitmap, it passes over all rows.
        rows = np.flatnonzero(self.data.mask(allowed))
        return self.faiss.IDSelectorArray(rows), rows


class Hnswlib(Peer):
    """Its filters are a Python function a row, which measures Python: not measured."""

    name, kind, package = "hnswlib", "library", "hnswlib"
    breadths: ClassVar[list[Params]] = ladder("ef", *BREADTHS)

    def open(self) -> None:
        import hnswlib

        self.index = hnswlib.Index(space="ip", dim=self.data.dimension)

    def build(self) -> None:
        self.index.init_index(max_elements=self.data.rows, M=M, ef_construction=EF_CONSTRUCTION)
        self.index.add_items(self.data.base, num_threads=THREADS)

    def search(self, query: np.ndarray, k: int, params: Params, allow: Any = None) -> list[int]:
        return self.batch(query, k, params, 1)[0]

    def batch(self, queries: np.ndarray, k: int, params: Params, threads: int, allow: Any = None) -> Any:
        self.index.set_ef(max(params["ef"], k))
        return self.index.knn_query(queries, k, num_threads=threads)[0]


class Usearch(Peer):
    name, kind, package = "usearch", "library", "usearch"
    breadths: ClassVar[list[Params]] = ladder("ef", *BREADTHS)

    def open(self) -> None:
        from usearch.index import Index

        self.index = Index(
            ndim=self.data.dimension,
            metric="ip",
            dtype="f32",
            connectivity=M,
            expansion_add=EF_CONSTRUCTION,
        )

    def build(self) -> None:
        self.index.add(np.arange(self.data.rows), self.data.base, threads=THREADS)

    def search(self, query: np.ndarray, k: int, params: Params, allow: Any = None) -> list[int]:
        self.index.expansion_search = params["ef"]
        return self.index.search(query, k, threads=1).keys

    def batch(self, queries: np.ndarray, k: int, params: Params, threads: int, allow: Any = None) -> Any:
        self.index.expansion_search = params["ef"]
        return self.index.search(queries, k, threads=threads).keys


LIBRARIES: list[type[Peer]] = [SymphonyQG, Svs, SvsLvq, FaissHnsw, FaissFlat, Hnswlib, Usearch]
