"""A cable that delays every frame, for kernels without netem: `python -m scripts.lab.slow_link LEFT RIGHT SECONDS`.

Makes two network devices with these names and carries each frame from one to the other after the given time.
"""

import collections
import fcntl
import os
import selectors
import struct
import sys
import time

_TUNSETIFF, _TAP_WITHOUT_HEADER = 0x400454CA, 0x1002
LARGEST_FRAME = 65_600
READY = "carries frames"


def open_tap(name: str) -> int:
    """Makes the device. It lives as long as the file is open."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH", name.encode(), _TAP_WITHOUT_HEADER))
    return device


class SlowLink:
    """Frames wait in the order in which they came, since all of them wait equally long."""

    def __init__(self, left: int, right: int, seconds: float) -> None:
        self._other_end = {left: right, right: left}
        self._seconds = seconds
        self._waiting: collections.deque[tuple[float, int, bytes]] = collections.deque()

    def run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for device in self._other_end:
                selector.register(device, selectors.EVENT_READ)
            while True:
                for key, _events in selector.select(self._seconds_until_next()):
                    self._receive(key.fd)
                self._send_due()

    def _seconds_until_next(self) -> float | None:
        return max(0.0, self._waiting[0][0] - time.monotonic()) if self._waiting else None

    def _receive(self, device: int) -> None:
        try:
            frame = os.read(device, LARGEST_FRAME)
        except (
            BlockingIOError,
            OSError,
        ):  # nothing there, or the device is down: the frame is lost, as on a cable
            return
        self._waiting.append((time.monotonic() + self._seconds, self._other_end[device], frame))

    def _send_due(self) -> None:
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            _due_at, device, frame = self._waiting.popleft()
            try:
                os.write(device, frame)
            except OSError:  # as above
                continue


def main() -> None:
    left, right, seconds = sys.argv[1:]
    link = SlowLink(open_tap(left), open_tap(right), float(seconds))
    print(READY, flush=True)
    link.run()


if __name__ == "__main__":
    main()
