"""Where the gateway spends its CPU while it creates payments: py-spy samples it under load.

A full run draws docs/images/performance/payments.svg. py-spy needs the right to trace a process: root, or
CAP_SYS_PTRACE.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from benchmarks.figures import Benchmark, Effort, Figure
from benchmarks.load import start_gateway
from benchmarks.prepared import create_key, prepare_payment

BENCHMARK = Benchmark(
    "profile_cpu",
    "Samples of the gateway's Python under `POST /payments`: the layer whose function holds the interpreter.",
    "The flame graph shows the functions: [payments.svg](images/performance/payments.svg).",
)
ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "images" / "performance" / "payments.svg"
CONNECTIONS, PAYMENTS = 16, 1500
SAMPLES_PER_SECOND, SECONDS = 100, 10

WIDTH, ROW, MARGIN = 1200.0, 17, 24
LEAST_SHARE = 0.006  # narrower frames are left out
LETTER = 6.6  # width of a letter in pixels
BOTTOM = "get_response"  # frames below Django's handler are the same in every stack
# Each middleware adds two of these.
WRAPPERS = ("django/core/handlers/exception.py", "django/utils/deprecation.py")
FRAME = re.compile(r"^(?P<function>.+) \((?P<file>[^():]+):\d+\)$")
COLOURS = {
    "platform": "#7fb3d5",
    "Django and REST framework": "#a9d18e",
    "PostgreSQL": "#f4b183",
    "Redis": "#e6a0a0",
    "Python and other libraries": "#d9d9d9",
}
LIBRARIES = {
    "Django and REST framework": ("django/", "rest_framework/"),
    "PostgreSQL": ("psycopg/", "psycopg_pool/", "psycopg_binary/"),
    "Redis": ("redis/", "django_redis/", "hiredis/"),
}


@dataclass(slots=True)
class Node:
    name: str
    layer: str
    samples: int = 0
    children: "dict[str, Node]" = field(default_factory=dict)


def measure(effort: Effort) -> list[Figure]:
    root = build_tree(_sample(effort).splitlines())
    if not effort.quick:
        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        PICTURE.write_text(draw(root), encoding="utf-8")
    return [Figure(name=layer, value=share * 100, unit="%") for layer, share in share_of_layers(root).items()]


def _sample(effort: Effort) -> str:
    """Stacks of the gateway's threads that hold the interpreter, as py-spy writes them."""
    key, seconds = create_key(), effort.choose(SECONDS, 2)
    with start_gateway() as gateway, tempfile.TemporaryDirectory() as folder:
        gateway.send([prepare_payment(key) for _ in range(64)], connections=CONNECTIONS)
        requests = [prepare_payment(key) for _ in range(effort.choose(PAYMENTS, 40))]
        stacks = Path(folder, "stacks")
        command = ["py-spy", "record", "--subprocesses", "--gil", "--format", "raw", "--output", str(stacks)]
        rate = ["--rate", str(SAMPLES_PER_SECOND), "--duration", str(seconds), "--pid", str(gateway.pid)]
        with subprocess.Popen([*command, *rate], stdout=subprocess.DEVNULL) as sampler:
            gateway.send(requests, connections=CONNECTIONS)
        if sampler.returncode != 0:
            sys.exit("py-spy failed.")
        return stacks.read_text(encoding="utf-8")


def build_tree(lines: Iterable[str]) -> Node:
    """`lines` are py-spy's: frames from the bottom up, separated by semicolons, then the number of samples."""
    root = Node("all", "Python and other libraries")
    for line in lines:
        stack, _space, count = line.rpartition(" ")
        frames = [found for frame in stack.split(";") if (found := FRAME.match(frame))]
        names = [found["function"] for found in frames]
        if BOTTOM not in names:
            continue
        root.samples += int(count)
        node = root
        for found in frames[names.index(BOTTOM) :]:
            if found["file"] in WRAPPERS:
                continue
            name = f"{found['function']} ({found['file']})"
            node = node.children.setdefault(name, Node(name, _find_layer(found["file"])))
            node.samples += int(count)
    return root


def _find_layer(file: str) -> str:
    for layer, beginnings in LIBRARIES.items():
        if file.startswith(beginnings):
            return layer
    return "platform" if (ROOT / file).exists() else "Python and other libraries"


def share_of_layers(root: Node) -> dict[str, float]:
    """The share of samples whose uppermost frame belongs to each layer."""
    samples = dict.fromkeys(COLOURS, 0)

    def add(node: Node) -> None:
        samples[node.layer] += node.samples - sum(child.samples for child in node.children.values())
        for child in node.children.values():
            add(child)

    for child in root.children.values():
        add(child)
    return {layer: count / max(1, root.samples) for layer, count in samples.items()}


def draw(root: Node) -> str:
    """An SVG without scripts; a frame's title tells its share."""
    frames = list(_place(root, root.samples, 0.0, 0))
    height = (max((depth for _node, _x, _width, depth in frames), default=0) + 1) * ROW + 3 * MARGIN
    legend = "".join(
        f'<rect x="{10 + number * 235}" y="8" width="12" height="12" fill="{COLOURS[layer]}"/>'
        f'<text x="{27 + number * 235}" y="18">{layer} {share:.0%}</text>'
        for number, (layer, share) in enumerate(share_of_layers(root).items())
    )
    drawn = "\n".join(_draw_frame(root, *frame, height) for frame in frames)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {height}" font-family="monospace"'
        f' font-size="11"><rect width="100%" height="100%" fill="#fff"/>\n{legend}\n{drawn}\n</svg>\n'
    )


def _place(node: Node, total: int, x: float, depth: int) -> Iterator[tuple[Node, float, float, int]]:
    for child in sorted(node.children.values(), key=lambda each: each.name):
        width = child.samples / total * WIDTH
        if child.samples / total >= LEAST_SHARE:
            yield child, x, width, depth
            yield from _place(child, total, x, depth + 1)
        x += width


def _draw_frame(root: Node, node: Node, x: float, width: float, depth: int, height: int) -> str:
    y = height - MARGIN - (depth + 1) * ROW
    function = node.name.partition(" (")[0]
    text = function if len(function) * LETTER < width - 4 else function[: max(0, int((width - 4) / LETTER))]
    label = f'<text x="{x + 2:.1f}" y="{y + 12}">{escape(text)}</text>' if len(text) > 2 else ""
    return (
        f'<g><title>{escape(node.name)}: {node.samples / root.samples:.1%}</title><rect x="{x:.1f}" y="{y}"'
        f' width="{max(width - 0.5, 0.5):.1f}" height="{ROW - 1}" fill="{COLOURS[node.layer]}"/>{label}</g>'
    )
