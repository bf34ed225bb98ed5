"""Sends due notices: on demand, or in a thread that wakes up when one is due."""

import threading
from datetime import timedelta
from urllib.parse import urlencode

import requests

from channels.alipay.sandbox import notices
from channels.alipay.sandbox.books import Bank
from channels.alipay.sandbox.clock import read_time
from channels.alipay.sandbox.notices import Notice

TIMEOUT_SECONDS = 10
LONGEST_WAIT = timedelta(hours=1)


class NoticeSender:
    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self._wake_up = threading.Event()
        self._is_stopping = False
        self._sending = threading.Lock()  # one attempt of a notice at a time
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="alipay-sandbox-notices", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._is_stopping = True
        self._wake_up.set()
        if self._thread is not None:
            self._thread.join()

    def wake_up(self) -> None:
        """Something was recorded, or the clock was moved."""
        self._wake_up.set()

    def send_due(self) -> int:
        """Sends what is due now and what that releases. Returns the number of attempts."""
        attempts = 0
        with self._sending:
            while True:
                with self._bank.open_books() as books:
                    due = notices.due(books)
                if not due:
                    return attempts
                for notice in due:
                    self._send(notice)
                attempts += len(due)

    def _send(self, notice: Notice) -> None:
        with self._bank.open_books() as books:
            fields, sent_at = notices.signed_fields(books, notice), books.now
        charset = fields["charset"]
        body = urlencode(fields, encoding=charset)
        try:
            response = requests.post(
                notice.url,
                data=body.encode("ascii"),
                headers={"Content-Type": f"application/x-www-form-urlencoded; charset={charset}"},
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            is_acknowledged, answer = False, type(error).__name__
        else:
            is_acknowledged = response.status_code == 200 and response.content == notices.ACKNOWLEDGEMENT
            answer = f"{response.status_code} {response.text[:100]}"
        with self._bank.open_books() as books:
            notices.record_attempt(
                books, notice, sent_at=sent_at, is_acknowledged=is_acknowledged, answer=answer
            )

    def _run(self) -> None:
        while not self._is_stopping:
            self._wake_up.clear()
            self.send_due()
            self._wake_up.wait(self._seconds_to_next())

    def _seconds_to_next(self) -> float:
        with self._bank.open_books() as books:
            at = notices.next_attempt_at(books.connection)
            wait = LONGEST_WAIT if at is None else min(read_time(at) - books.now, LONGEST_WAIT)
        return max(wait.total_seconds(), 0.0)
