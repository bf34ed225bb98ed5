"""The benchmarks: their list and their document. With --long, each benchmark is run."""

import ast
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import document, growth, routing
from benchmarks.figures import Benchmark, Effort, Figure, format_value, median_figure, merge_rounds
from benchmarks.machine import Machine, Moment
from benchmarks.model import build_model
from benchmarks.profile_cpu import build_tree, draw, share_of_layers
from benchmarks.registry import NAMES
from benchmarks.results import COMMITTED, BenchmarkResult, Results, read_results, write_results

ROOT = Path(__file__).parent.parent
MACHINE = Machine(cpu="CPU", cores=2, memory_gb=8.0, kernel="Linux 6", python="3.11.7")


def test_every_benchmark_is_registered_under_its_own_name() -> None:
    found = {}
    for path in (ROOT / "benchmarks").glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "BENCHMARK":
                assert isinstance(node.value, ast.Call)
                found[path.stem] = ast.literal_eval(node.value.args[0])
    assert found == {name: name for name in NAMES}


def test_the_document_is_rendered_from_the_committed_results() -> None:
    text = document.DOCUMENT.read_text(encoding="utf-8")
    assert document.replace_results(text, read_results(COMMITTED)) == text


def test_rounds_are_merged_into_medians_and_their_ratios() -> None:
    def build_round(base: float, value: float) -> list[Figure]:
        ratio = value / base
        return [
            Figure(name="base", value=base, unit="ms"),
            Figure(name="beside", value=value, unit="ms", ratio=ratio, ratio_to="base", aim="below 3"),
        ]

    base, beside = merge_rounds([build_round(1, 4), build_round(2, 3), build_round(3, 5)])
    assert (base.value, base.rounds) == (2, (1, 2, 3))
    assert (beside.value, beside.ratio, beside.aim) == (4, 2, "below 3")


def test_growth_loads_as_many_payments_as_asked() -> None:
    assert growth._choose_sizes(Effort(False, 3)) == list(growth.SIZES)
    assert growth._choose_sizes(Effort(False, 3, 10_000_000)) == [*growth.SIZES, 10_000_000]
    assert growth._choose_sizes(Effort(False, 3, 50_000)) == [1_000, 50_000]
    assert growth._choose_sizes(Effort(True, 1)) == [20, 60]


def test_results_can_be_read_again(tmp_path: Path) -> None:
    results = Results(MACHINE, {"cpu": build_result("cpu", [median_figure("a", [1.0, 3.0, 2.0], "ms")])})
    write_results(tmp_path / "results.json", results)
    assert read_results(tmp_path / "results.json") == results


def test_a_table_shows_ratios_aims_and_rounds() -> None:
    base = median_figure("bare view", [10.0, 30.0, 20.0], "/s")
    ours = median_figure("payments", [5.0, 6.0, 4.0], "/s", base=base, aim="at least 0.30")
    lines = document.render(
        Results(MACHINE, {"payments": build_result("payments", [base, ours])})
    ).splitlines()
    assert "| bare view | 20.0 /s |  |  | 10.0 – 30.0 |" in lines
    assert "| payments | 5.00 /s | 0.25 × bare view | at least 0.30 | 4.00 – 6.00 |" in lines


def test_a_quick_run_proves_no_aim() -> None:
    full = build_result("payments", [Figure(name="a", value=1.0, unit="ms", aim="at most 2")])
    aim_reached = "| payments | a | 1.00 ms | at most 2 | yes |"
    assert aim_reached in document.render(Results(MACHINE, {"payments": full}))
    quick = replace(full, quick=True)
    assert aim_reached not in document.render(Results(MACHINE, {"payments": quick}))


@pytest.mark.parametrize(
    ("aim", "value", "reached"),
    [
        ("at least 0.30", 0.3, True),
        ("at least 2,000", 1999.0, False),
        ("at most 5", 5.0, True),
        ("below 2", 2.0, False),
        ("about 1", 1.0, None),
        ("", 1.0, None),
    ],
)
def test_an_aim_is_compared(aim: str, value: float, reached: bool | None) -> None:
    assert Figure(name="a", value=value, unit="ms", aim=aim).reaches_aim is reached


def test_the_model_adds_up_what_a_payment_costs() -> None:
    cpu = {"POST /payments, Python": 5.0, "POST /payments, PostgreSQL": 2.5, "POST /payments, Redis": 0.25}
    payments = {
        "POST /payments": 160.0,
        "bare view, CPU of the gateway": 3.0,
        "bare view, CPU of the client": 0.25,
    }
    model = build_model(
        Results(
            MACHINE,
            {
                "cpu": build_result("cpu", to_figures({**cpu, "bare view, Python": 1.0})),
                "payments": build_result("payments", to_figures(payments)),
            },
        )
    )
    assert model is not None
    assert model.web_server == 2.0
    assert model.total == 10.0
    assert model.predicted == 200.0
    assert model.difference_percent == pytest.approx(-20.0)


def test_a_flame_graph_shows_frames_and_layers() -> None:
    stacks = [
        "process 1:x;run (a.py:1);get_response (django/core/handlers/base.py:1);execute (psycopg/cursor.py:7) 3",
        "process 1:x;run (a.py:1);get_response (django/core/handlers/base.py:1);start_saga (sagas/start.py:9) 1",
        "process 1:x;run (a.py:1);wait (threading.py:5) 9",
    ]
    root = build_tree(stacks)
    shares = share_of_layers(root)
    assert root.samples == 4
    assert (shares["PostgreSQL"], shares["platform"]) == (0.75, 0.25)
    assert "start_saga (sagas/start.py): 25.0%" in draw(root)


def test_three_digits_matter() -> None:
    assert [format_value(value) for value in (0, 1.234, 12.34, 1234.5)] == ["0", "1.23", "12.3", "1,234"]


def test_every_benchmark_runs(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    """With --long, every benchmark runs; otherwise only the one that needs no servers."""
    if not pytestconfig.getoption("--long"):
        figures = routing.measure(Effort(quick=True, rounds=1))
        assert {figure.unit for figure in figures} == {"%"}
        return
    output = tmp_path / "results.json"
    subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--output", str(output)], cwd=ROOT, check=True
    )
    assert set(read_results(output).by_name) == set(NAMES)


def build_result(name: str, figures: list[Figure]) -> BenchmarkResult:
    moment = Moment(measured_at="2026-11-28 12:00 UTC", commit="abc1234", load_before=0.1)
    benchmark = Benchmark(name, "It measures.", "CPU.")
    return BenchmarkResult(
        benchmark=benchmark,
        moment=moment,
        postgresql="18.1",
        quick=False,
        seconds=1.0,
        figures=tuple(figures),
    )


def to_figures(values: dict[str, float]) -> list[Figure]:
    return [Figure(name=name, value=value, unit="ms") for name, value in values.items()]
