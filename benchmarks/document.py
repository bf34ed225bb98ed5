"""Renders the tables of docs/PERFORMANCE.md from the results."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, format_value
from benchmarks.machine import Machine
from benchmarks.model import Model, build_model
from benchmarks.results import BenchmarkResult, Results

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "PERFORMANCE.md"
BEGIN, END = "<!-- results: rendered by `python -m benchmarks` -->", "<!-- end of the results -->"
MANY_AIMS = 8


def render_into_document(results: Results) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(replace_results(text, results), encoding="utf-8")


def replace_results(text: str, results: Results) -> str:
    before, _begin, rest = text.partition(BEGIN)
    _old, _end, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{render(results)}\n{END}{after}"


def render(results: Results) -> str:
    lines = [_describe_machine(results.machine), "", "### Aims", "", *_render_aims(results)]
    for name, result in results.by_name.items():
        lines += [f"### {name}", "", *_render_result(result)]
        if name == "payments" and (model := build_model(results)):
            lines += ["### The model of a payment", "", *_render_model(model)]
    return "\n".join(lines)


def _describe_machine(machine: Machine) -> str:
    return (
        f"{machine.cores} cores ({machine.cpu}), {machine.memory_gb:g} GB of memory, {machine.kernel},"
        f" Python {machine.python}. PostgreSQL, Redis, the gateway and the client share the cores; PostgreSQL does not"
        " wait for the disk (`fsync` and `synchronous_commit` are off)."
    )


def _render_aims(results: Results) -> Iterator[str]:
    """Each figure with an aim; of a benchmark with many, those that miss theirs, and a count. A quick run proves no
    aim."""
    yield "Of the full runs: a quick run proves no aim."
    yield ""
    yield "| benchmark | figure | measured | aim | reached |"
    yield "| --- | --- | --- | --- | --- |"
    for name, result in results.by_name.items():
        if result.quick:
            continue
        figures = [figure for figure in result.figures if figure.reaches_aim is not None]
        reached = [figure for figure in figures if figure.reaches_aim]
        if len(figures) > MANY_AIMS:
            yield f"| {name} | {len(figures)} figures | | | {len(reached)} of {len(figures)} |"
            figures = [figure for figure in figures if not figure.reaches_aim]
        for figure in figures:
            measured = (
                f"{format_value(figure.value)} {figure.unit}" if figure.ratio is None else _ratio(figure)
            )
            yield f"| {name} | {figure.name} | {measured} | {figure.aim} | {'yes' if figure.reaches_aim else 'no'} |"
    yield ""


def _ratio(figure: Figure) -> str:
    return "" if figure.ratio is None else f"{figure.ratio:.2f} × {figure.ratio_to}"


def _render_result(result: BenchmarkResult) -> Iterator[str]:
    moment = result.moment
    yield result.benchmark.measures
    yield ""
    yield f"What bounds it: {_lower_first(result.benchmark.bounded_by)}"
    yield ""
    yield (
        f"{moment.measured_at}, commit {moment.commit or 'unknown'}, PostgreSQL {result.postgresql}, load"
        f" {moment.load_before:g} before, {result.seconds:.0f} s."
        + (
            " **A quick run: it shows that the benchmark works, its figures mean nothing.**"
            if result.quick
            else ""
        )
    )
    yield ""
    has_rounds = any(len(figure.rounds) > 1 for figure in result.figures)
    yield "| figure | value | ratio | aim |" + (" lowest – highest round |" if has_rounds else "")
    yield "| --- | --- | --- | --- |" + (" --- |" if has_rounds else "")
    for figure in result.figures:
        yield _render_figure(figure, has_rounds=has_rounds)
    yield ""


def _render_figure(figure: Figure, *, has_rounds: bool) -> str:
    cells = [figure.name, f"{format_value(figure.value)} {figure.unit}", _ratio(figure), figure.aim]
    if has_rounds:
        many = len(figure.rounds) > 1
        lowest, highest = (min(figure.rounds), max(figure.rounds)) if many else (0.0, 0.0)
        cells.append(f"{format_value(lowest)} – {format_value(highest)}" if many else "")
    return "| " + " | ".join(cells) + " |"


def _render_model(model: Model) -> Iterator[str]:
    yield "CPU for one payment, each part measured apart from the load (`benchmarks/model.py`):"
    yield ""
    yield "| Python | web server | PostgreSQL | Redis | client | together |"
    yield "| --- | --- | --- | --- | --- | --- |"
    parts = (model.python, model.web_server, model.postgresql, model.redis, model.client, model.total)
    yield "| " + " | ".join(f"{part:.2f} ms" for part in parts) + " |"
    yield ""
    yield (
        f"{model.cores} cores ÷ {model.total:.2f} ms predict **{model.predicted:.0f} payments/s**;"
        f" {model.measured:.0f}/s were measured, a difference of {model.difference_percent:+.0f} %."
    )
    yield ""


def _lower_first(text: str) -> str:
    """`CPU` stays as it is."""
    return text if text[:2].isupper() else text[0].lower() + text[1:]
