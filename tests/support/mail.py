"""A mail server on loopback. Keeps the messages that it receives, or closes the connection before it confirms them.

with MailServer() as server:
    settings.EMAIL_URL, settings.EMAIL_HOST, settings.EMAIL_PORT = server.url, server.host, server.port
"""

import email
import email.policy
import socketserver
import threading
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any, Self


class MailServer:
    host = "127.0.0.1"

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.hangs_up = False
        self.on_message: Callable[[], None] = lambda: None
        server = self

        class Talk(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.say("220 ready")
                while line := self.rfile.readline():
                    match line[:4].upper():
                        case b"DATA":
                            self.say("354 go on")
                            lines = list(iter(self.rfile.readline, b".\r\n"))
                            server._keep(b"".join(lines))
                            if server.hangs_up:
                                return
                            self.say("250 kept")
                        case b"QUIT":
                            self.say("221 bye")
                            return
                        case _:
                            self.say("250 ok")

            def say(self, text: str) -> None:
                self.wfile.write(f"{text}\r\n".encode())

        self._server = socketserver.ThreadingTCPServer((self.host, 0), Talk)
        self.port: int = self._server.server_address[1]
        self.url = f"smtp://{self.host}:{self.port}"

    def _keep(self, text: bytes) -> None:
        self.messages.append(email.message_from_bytes(text, policy=email.policy.default))  # type: ignore[arg-type]
        self.on_message()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        return self

    def __exit__(self, *_error: Any) -> None:
        self._server.shutdown()
        self._server.server_close()
