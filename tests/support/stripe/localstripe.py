"""The stateful fake of Stripe from PyPI as a server of its own: `python -m tests.support.stripe.localstripe`.

Says its port in its first line. Without its habit of writing what it knows to /tmp.
"""

import asyncio
import socket

from aiohttp import web
from localstripe import resources
from localstripe.server import app


async def serve() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    print(listening.getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    resources.Store.dump_to_disk = lambda _store: None
    asyncio.run(serve())
