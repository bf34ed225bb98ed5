"""The edge of docker-compose.yml: a real nginx with our configuration, before a real gateway, under attack."""

import shutil
import statistics
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.local.config import ROOT
from tests.edge.conftest import ATTACKERS, ATTACKING, BIG, HealthyCustomers, is_up
from tests.support.processes import free_port
from tests.support.slow_clients import Attack, Kind
from tests.support.waiting import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.stack

TEMPLATE = ROOT / "deploy" / "nginx" / "edge.conf.template"
# The image's nginx.conf, in a directory of the test.
AROUND = """
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/edge.conf;
}}
"""


@pytest.fixture(scope="module")
def edge(gateway: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of the edge, whose configuration `nginx -t` has checked."""
    directory: Path = tmp_path_factory.mktemp("nginx")
    directory.chmod(0o777)  # its worker runs as another account
    for parent in directory.parents:
        if parent.owner() != "root" or parent == Path("/tmp"):
            break
        parent.chmod(parent.stat().st_mode | 0o011)
    port = free_port()
    text = TEMPLATE.read_text()
    for name, value in {"GATEWAY_ADDRESS": f"127.0.0.1:{gateway}", "EDGE_PORT": str(port)}.items():
        text = text.replace(f"${{{name}}}", value)
    (directory / "edge.conf").write_text(text)
    (directory / "nginx.conf").write_text(AROUND.format(directory=directory))
    nginx = [
        shutil.which("nginx") or "/usr/sbin/nginx",
        "-c",
        str(directory / "nginx.conf"),
        "-p",
        str(directory),
    ]
    checked = subprocess.run([*nginx, "-t"], capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert checked.returncode == 0, checked.stderr
    process = subprocess.Popen([*nginx, "-g", "daemon off;"])
    try:
        wait_until(lambda: is_up(port), PATIENCE_SECONDS, "nginx")
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def test_healthy_requests_are_answered_throughout(edge: int) -> None:
    attack = Attack(edge, count=ATTACKERS, kinds=list(Kind), big=BIG, sources=ATTACKING)
    with attack, HealthyCustomers(edge) as customers:
        wait_until(lambda: len(customers.seconds) >= 50, PATIENCE_SECONDS, "fifty answers")
    assert customers.failures == []
    assert statistics.median(customers.seconds) < 5, sorted(customers.seconds)[-5:]


def test_connections_per_address_are_limited(edge: int) -> None:
    """Connections above the limit are answered before their bodies have arrived."""
    attack = Attack(edge, count=80, kinds=[Kind.DRIPPING_BODY], big=BIG, sources=["127.0.2.1"])
    with attack:
        wait_until(lambda: len(attack.answered) == 80 - 50, PATIENCE_SECONDS, "refusals")


def test_metrics_are_not_public(edge: int) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://127.0.0.1:{edge}/metrics", timeout=PATIENCE_SECONDS)
