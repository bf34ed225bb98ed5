"""The duration of healthy requests while clients hold connections and hardly use them.

    python -m benchmarks.slow_clients --port 40003 --count 200 --seconds 20

The gateway must run already. It requests /healthz, and `--big` (an address with a big answer) is read slowly.
"""

import argparse
import statistics
import time
import urllib.request

from tests.support.slow_clients import Attack, Kind


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=40003)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument(
        "--big", default="/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"
    )
    asked = parser.parse_args()
    sources = [f"127.0.1.{number}" for number in range(1, 41)]
    print(f"quiet:        {_measured(asked.port, 5)}")
    with Attack(asked.port, count=asked.count, kinds=list(Kind), big=asked.big, sources=sources) as attack:
        print(f"under attack: {_measured(asked.port, asked.seconds)}")
        left = {kind.name: count for kind, count in attack.left().items()}
        print(f"of {asked.count} connections {attack.closed.total()} were closed by the server, open: {left}")


def _measured(port: int, seconds: float) -> str:
    took, failed, until = [], 0, time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
                answer.read()
            took.append(time.monotonic() - began)
        except OSError:
            failed += 1
        time.sleep(0.02)
    if not took:
        return f"no answer, {failed} failed"
    median, slowest = statistics.median(took) * 1000, max(took) * 1000
    return f"{len(took)} answered, {failed} failed, median {median:.1f} ms, slowest {slowest:.0f} ms"


if __name__ == "__main__":
    main()
