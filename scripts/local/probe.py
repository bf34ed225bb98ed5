"""Checks whether the gateway takes payments."""

import urllib.error
import urllib.request

from scripts.local.config import Stack


def is_ready(stack: Stack) -> bool:
    # By address: a proxy may handle `localhost`, and another program may have PORT on ::1.
    url = f"http://127.0.0.1:{stack.web.port}/readyz"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=3) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
