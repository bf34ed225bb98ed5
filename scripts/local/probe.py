"""Asks the gateway whether it takes payments."""

import urllib.error
import urllib.request

from scripts.local.config import Stack


def is_ready(stack: Stack) -> bool:
    # By address: `localhost` could be a proxy's business, and PORT on ::1 another program's.
    url = f"http://127.0.0.1:{stack.web.port}/readyz"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=3) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
