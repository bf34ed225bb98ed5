"""The script of the document prints ❌ and fails if a gateway answers the second request differently."""

import itertools
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from scripts.local.config import ROOT
from tests.support.processes import free_port

pytestmark = pytest.mark.stack
SCRIPT = ROOT / "scripts" / "test-idempotency.sh"


@contextmanager
def gateway(answers: Iterator[tuple[int, dict[str, Any]]]) -> Iterator[tuple[str, list[bytes]]]:
    """A gateway that gives prepared answers and records the bodies of requests."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = next(answers)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", bodies
        server.shutdown()


def run(base_url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT], env={**os.environ, "BASE_URL": base_url}, capture_output=True, text=True)


def created(number: int) -> tuple[int, dict[str, Any]]:
    return 200, {"code": 0, "message": "创建成功", "data": {"payment_no": f"PAY-20250124-{number:06}"}}


def test_same_answers_pass() -> None:
    with gateway(itertools.repeat(created(1))) as (url, bodies):
        result = run(url)
    assert result.returncode == 0
    assert bodies[0] == bodies[1]
    assert "✅ 幂等性测试通过: 两次请求返回相同的响应" in result.stdout


def test_two_payments_fail() -> None:
    with gateway(iter([created(1), created(2)])) as (url, _bodies):
        result = run(url)
    assert result.returncode == 1
    assert "❌" in result.stdout
    assert "✅" not in result.stdout


def test_two_equal_refusals_fail() -> None:
    with gateway(itertools.repeat((401, {"code": 40101, "error": "签名无效"}))) as (url, _bodies):
        result = run(url)
    assert result.returncode == 1
    assert "❌ 幂等性测试失败: 第一次请求返回 401" in result.stdout


def test_no_gateway_fails() -> None:
    result = run(f"http://127.0.0.1:{free_port()}")
    assert result.returncode == 1
    assert "start-all-services.sh" in result.stderr
