"""Measures ours beside the peers in one go: one process a system, one at a time or taking turns, and prints tables with ratios.

`python benches/compare.py --data DIRECTORY [--second DIRECTORY] [--systems a,b] [--rows N]`; README.adoc says where data comes from.
What is not installed is reported as missing, what fails as failed; the exit status is 1 when ours fails.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import measure
from dataset import Dataset
from table import OURS, read, render

HERE = Path(__file__).resolve().parent
# They make the BLAS of some peers slower than it is.
DISTURBING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
CARGO_BENCH = ("cargo", "bench", "--locked", "-p", "proximadb-axis", "--bench", "axis")
ROWS_MIN = 100


class Comparison:
    """One run over some systems and data sets."""

    def __init__(self, options: argparse.Namespace, out: Path) -> None:
        self.options, self.out = options, out
        self.environment = {name: value for name, value in os.environ.items() if name not in DISTURBING}

    def run_all(self, data: Path) -> None:
        """Each system over one data set, one after the other, or all at once and a pass of each in turn."""
        if not self.options.turns:
            for system in self.options.systems:
                self.run(system, data)
            return
        if OURS in self.options.systems:
            self.compile_ours()
        with tempfile.TemporaryDirectory(prefix="proximadb-bench-") as folder:
            self.environment["PROXIMADB_BENCH_TURN"] = str(Path(folder) / "turn")
            with ThreadPoolExecutor(len(self.options.systems)) as pool:
                list(pool.map(lambda system: self.run(system, data), self.options.systems))

    def run(self, system: str, data: Path) -> None:
        """One system over one data set; whatever happens to it becomes a line."""
        began = time.monotonic()
        print(f"-- {system} over {data.name}", file=sys.stderr, flush=True)
        try:
            if system == OURS:
                self.ours(data)
            else:
                self.peer(system, data)
        except subprocess.TimeoutExpired:
            self.note(system, data, f"stopped after {self.options.timeout} s")
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            self.note(system, data, str(error))
        print(f"   {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)

    def peer(self, system: str, data: Path) -> None:
        command = [sys.executable, str(HERE / "measure.py"), system, str(data), "--out", str(self.out)]
        command += ["--repeats", str(self.options.repeats), "--seconds", str(self.options.seconds)]
        if self.options.rows is not None:
            command += ["--rows", str(self.options.rows)]
        before = self.out.stat().st_size
        # What a peer that is stopped leaves behind goes with this folder.
        with tempfile.TemporaryDirectory(prefix="proximadb-bench-") as folder:
            done = subprocess.run(
                command,
                env=self.environment | {"TMPDIR": folder},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                timeout=self.options.timeout,
            )
        sys.stderr.write(done.stderr)
        written = [json.loads(line) for line in self.out.read_bytes()[before:].decode().splitlines()]
        known = any(line["what"] == "failed" and line["system"] == system for line in written)
        if done.returncode != 0 and not known:
            said = done.stderr.strip().splitlines()[-1:]
            self.note(system, data, ": ".join([f"its process ended with {done.returncode}", *said]))

    def compile_ours(self) -> None:
        subprocess.run(
            [*CARGO_BENCH, "--no-run"], cwd=HERE.parent, env=self.environment, check=True, stdout=subprocess.DEVNULL
        )

    def ours(self, data: Path) -> None:
        """The Rust bench, which is compiled before its time counts."""
        self.compile_ours()
        with tempfile.TemporaryDirectory(prefix="proximadb-bench-") as folder:
            exported = Path(folder) / data.name
            Dataset(data, self.options.rows).export(exported)
            settings = {"DATA": exported, "REPEATS": self.options.repeats, "SECONDS": self.options.seconds}
            environment = self.environment | {f"PROXIMADB_BENCH_{name}": str(value) for name, value in settings.items()}
            done = subprocess.run(
                CARGO_BENCH,
                cwd=HERE.parent,
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
                timeout=self.options.timeout,
            )
        # In one piece, for another system may read what there is.
        with self.out.open("ab", buffering=0) as out:
            out.write("".join(line + "\n" for line in done.stdout.splitlines() if line.startswith("{")).encode())
        if done.returncode != 0:
            self.note(OURS, data, f"cargo bench ended with {done.returncode}")

    def note(self, system: str, data: Path, why: str) -> None:
        kind = "library" if system == OURS else measure.PEERS[system].kind
        with self.out.open("a") as out:
            out.write(
                json.dumps({"system": system, "kind": kind, "data": data.name, "what": "failed", "why": why}) + "\n"
            )


def machine() -> str:
    """Where and when this ran."""
    described = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next(
        (line.split(":", 1)[1].strip() for line in described if line.startswith("model name")), platform.processor()
    )
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"{now}, {os.cpu_count()} cores of {model}, load {os.getloadavg()[0]:.2f} before the first system"


def options() -> argparse.Namespace:
    systems = [OURS, *measure.PEERS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a directory in the layout of dataset.py")
    parser.add_argument("--second", type=Path, help="a second one")
    parser.add_argument(
        "--systems", default=",".join(systems), help=f"some of {', '.join(systems)}, with commas; all by default"
    )
    parser.add_argument("--rows", type=int, help="only the first rows of the data, to see that everything works")
    parser.add_argument("--repeats", type=int, default=3, help="passes of which the median counts")
    parser.add_argument(
        "--rounds", type=int, default=1, help="how often all systems are built and searched in turn; the median counts"
    )
    parser.add_argument(
        "--turns",
        action="store_true",
        help="the systems run at once and take turns, pass by pass: none has the slow minutes",
    )
    parser.add_argument("--seconds", type=float, default=0.25, help="the longest that one pass takes")
    parser.add_argument("--timeout", type=int, default=900, help="seconds that one system may take over one data set")
    parser.add_argument("--out", type=Path, help="where the lines go, after what is there; a temporary file by default")
    parser.add_argument("--show", type=Path, nargs="+", help="measure nothing, print the tables of these files")
    chosen = parser.parse_args()
    chosen.systems = chosen.systems.split(",")
    for system in chosen.systems:
        if system not in systems:
            parser.error(f"--systems: no system {system!r}, known are {', '.join(systems)}")
    if chosen.data is None and chosen.show is None:
        parser.error("--data: a directory is needed")
    for name in ("data", "second"):
        directory = getattr(chosen, name)
        if directory is not None and not (directory / "meta.json").is_file():
            parser.error(f"--{name}: {directory} has no meta.json")
    for name in ("repeats", "rounds"):
        if getattr(chosen, name) < 1:
            parser.error(f"--{name}: at least 1")
    if chosen.rows is not None and chosen.rows < ROWS_MIN:
        parser.error(f"--rows: at least {ROWS_MIN}")
    return chosen


def main() -> int:
    chosen = options()
    if chosen.show is not None:
        print(render(read(chosen.show)))
        return 0
    out = chosen.out or Path(tempfile.mkdtemp(prefix="proximadb-bench-")) / "lines.jsonl"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.touch()
    where, began = machine(), time.monotonic()
    comparison = Comparison(chosen, out)
    for data in filter(None, (chosen.data, chosen.second)):
        for _ in range(chosen.rounds):
            comparison.run_all(data)
    systems = read([out])
    print(
        f"{where}; {time.monotonic() - began:.0f} s; lines in {out}\n\n$ python benches/compare.py {' '.join(sys.argv[1:])}\n"
    )
    print(render(systems))
    return 1 if any(system.troubles for system in systems if system.name == OURS) else 0


if __name__ == "__main__":
    sys.exit(main())
