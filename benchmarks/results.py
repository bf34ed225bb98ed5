"""The results of all benchmarks as one JSON file, which docs/PERFORMANCE.md is rendered from."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.figures import Benchmark, Figure
from benchmarks.machine import Machine, Moment

COMMITTED = Path(__file__).parent / "results" / "results.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkResult:
    benchmark: Benchmark
    moment: Moment
    postgresql: str  # its version
    quick: bool
    seconds: float
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class Results:
    machine: Machine
    by_name: Mapping[str, BenchmarkResult] = field(default_factory=dict)


def read_results(path: Path) -> Results:
    content = json.loads(path.read_text(encoding="utf-8"))
    return Results(
        Machine(**content["machine"]),
        {name: read_result(result) for name, result in content["benchmarks"].items()},
    )


def read_result(content: Mapping[str, Any]) -> BenchmarkResult:
    figures = [Figure(**{**figure, "rounds": tuple(figure["rounds"])}) for figure in content["figures"]]
    return BenchmarkResult(
        benchmark=Benchmark(**content["benchmark"]),
        moment=Moment(**content["moment"]),
        postgresql=content["postgresql"],
        quick=content["quick"],
        seconds=content["seconds"],
        figures=tuple(figures),
    )


def write_results(path: Path, results: Results) -> None:
    content = {
        "machine": asdict(results.machine),
        "benchmarks": {name: asdict(result) for name, result in results.by_name.items()},
    }
    write_json(path, content)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_round(content), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _round(content: Any) -> Any:
    """Five digits: the rest is noise, and makes a changed file hard to read."""
    if isinstance(content, float):
        return float(f"{content:.5g}")
    if isinstance(content, Mapping):
        return {name: _round(value) for name, value in content.items()}
    return [_round(value) for value in content] if isinstance(content, list | tuple) else content
