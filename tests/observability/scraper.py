"""A real Prometheus with the configuration of deploy/, targets on this machine and short intervals."""

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.local.config import ROOT
from tests.observability.containers import Containers
from tests.support.processes import Process, free_port
from tests.support.waiting import PATIENCE_SECONDS, wait_until

CONFIGURATION = ROOT / "deploy" / "prometheus"


class Scraper:
    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **query: str) -> Any:
        address = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(address, timeout=PATIENCE_SECONDS) as answer:
            return json.load(answer)["data"]

    def value(self, expression: str) -> float | None:
        """Returns the value of an expression that has at most one series."""
        found = self.get("query", query=expression)["result"]
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    def names(self) -> set[str]:
        return set(self.get("label/__name__/values"))


@contextmanager
def scraper(platform: Containers) -> Iterator[Scraper]:
    directory = platform.directory / "prometheus"
    shutil.copytree(CONFIGURATION, directory)
    configuration = directory / "prometheus.yml"
    configuration.write_text(_configuration(platform))
    port = free_port()
    command = ["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={directory / 'data'}"]
    process = Process(
        "prometheus",
        [*command, f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"],
        platform.directory / "prometheus.log",
        {"PATH": "/usr/bin:/bin"},
    )
    process.start()
    found = Scraper(f"http://127.0.0.1:{port}")
    try:
        wait_until(lambda: process.require_running() or _is_ready(found), PATIENCE_SECONDS, "Prometheus")
        yield found
    finally:
        process.kill()


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )


def _configuration(platform: Containers) -> str:
    text = (CONFIGURATION / "prometheus.yml").read_text()
    for name, (host, port) in platform.addresses.items():
        text = text.replace(f'"{name}"', f'"{host}:{port}"')
    assert ":9100" not in text
    return text.replace("interval: 10s", "interval: 2s")  # also how long a scrape may take


def _is_ready(found: Scraper) -> bool:
    try:
        with urllib.request.urlopen(f"{found.url}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
