"""The slow link delivers frames in their order, and not before their delay is over."""

import os
import socket

from scripts.lab.slow_link import SlowLink


def test_frames_wait_and_keep_their_order() -> None:
    left, left_host = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    right, right_host = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    right_host.setblocking(False)
    with left, left_host, right, right_host:
        link = SlowLink(left.fileno(), right.fileno(), seconds=3600.0)
        os.write(left_host.fileno(), b"first")
        os.write(left_host.fileno(), b"second")
        link._receive(left.fileno())
        link._receive(left.fileno())
        link._send_due()
        seconds = link._seconds_until_next()
        assert seconds is not None
        assert seconds > 3000
        link._waiting = type(link._waiting)((0.0, device, frame) for _at, device, frame in link._waiting)
        link._send_due()
        assert [right_host.recv(100), right_host.recv(100)] == [b"first", b"second"]
        assert link._seconds_until_next() is None
