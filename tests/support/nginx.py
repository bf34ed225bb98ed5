"""A real nginx with the configuration of the edge."""

import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import free_port
from tests.support.waiting import PATIENCE_SECONDS, wait_until

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
    include {directory}/conf.d/*.conf;
}}
"""


@contextmanager
def run_edge(directory: Path, templates: Mapping[str, str], gateway: int) -> Iterator[int]:
    """Yields the port of the edge, whose configuration `nginx -t` has checked. `templates` are the files of conf.d,
    `gateway` is a port."""
    directory.chmod(0o777)  # its worker runs as another account
    for parent in directory.parents:
        if parent.owner() != "root" or parent == Path("/tmp"):
            break
        parent.chmod(parent.stat().st_mode | 0o011)
    port = free_port()
    (directory / "conf.d").mkdir()
    for name, text in templates.items():
        filled = text.replace("${GATEWAY_ADDRESS}", f"127.0.0.1:{gateway}").replace("${EDGE_PORT}", str(port))
        (directory / "conf.d" / name).write_text(filled)
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
        wait_until(lambda: _is_up(port), PATIENCE_SECONDS, "nginx")
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def _is_up(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
