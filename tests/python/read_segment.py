"""Reads a segment without ProximaDB: pyarrow always, DuckDB and Polars where they are installed.

    python read_segment.py SEGMENT.parquet [ROWS]

Prints ids, the shape of the vectors and the metadata, and fails when the readers disagree.
"""

import importlib.util
import json
import sys

import pyarrow.parquet as pq


def from_json(value):
    """Undoes the escape for points in time in the JSON remainder."""
    if isinstance(value, list):
        return [from_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (key, inner), = value.items()
        if key == "$datetime":
            return ("datetime", inner)
        if key.endswith("$datetime") and set(key[: -len("$datetime")]) == {"$"}:
            return {key[1:]: from_json(inner)}
    return {key: from_json(inner) for key, inner in value.items()}


def metadata(row):
    """The metadata of a row: its typed columns, and the rest as JSON."""
    fields = {name[2:]: value for name, value in row.items() if name.startswith("m.") and value is not None}
    rest = json.loads(row["metadata_json"]) if row["metadata_json"] is not None else {}
    return {**{key: from_json(value) for key, value in rest.items()}, **fields}


def main():
    path = sys.argv[1]
    shown = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    file = pq.ParquetFile(path)
    said = {key.decode(): value.decode() for key, value in file.metadata.metadata.items() if key.startswith(b"proximadb.")}
    print("footer:", json.dumps(said, ensure_ascii=False))
    table = file.read()
    vectors = table.column("vector").combine_chunks()
    dimension = int(said["proximadb.dimension"])
    assert vectors.type.list_size == dimension and str(vectors.type.value_type) == "float", vectors.type
    components = vectors.flatten().to_numpy(zero_copy_only=False) if importlib.util.find_spec("numpy") else vectors.flatten().to_pylist()
    assert len(components) == table.num_rows * dimension
    print("pyarrow:", table.num_rows, "rows in", file.metadata.num_row_groups, "row groups; vectors", (table.num_rows, dimension))
    for row in table.slice(0, shown).to_pylist():
        print(" ", row["id"], row["sequence"], row["expires"], [round(x, 4) for x in row["vector"][:4]], metadata(row))

    ids = table.column("id").to_pylist()
    if importlib.util.find_spec("duckdb"):
        import duckdb

        found = duckdb.execute("SELECT id, len(vector), sequence FROM read_parquet(?)", [path]).fetchall()
        assert [row[0] for row in found] == ids and all(row[1] == dimension for row in found)
        print("duckdb:", len(found), "rows, the same ids and dimension")
    if importlib.util.find_spec("polars"):
        import polars

        frame = polars.read_parquet(path)
        assert frame["id"].to_list() == ids and frame["sequence"].to_list() == table.column("sequence").to_pylist()
        assert frame["vector"].head(shown).to_list() == table.column("vector").slice(0, shown).to_pylist()
        print("polars:", frame.height, "rows, the same ids, sequences and vectors;", frame.schema["vector"])


if __name__ == "__main__":
    main()
