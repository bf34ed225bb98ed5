"""The sandbox's books: one SQLite database, in a file that survives a restart, or in memory."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);

CREATE TABLE IF NOT EXISTS orders (
    id INTEGER PRIMARY KEY,
    mchid TEXT NOT NULL,
    out_trade_no TEXT NOT NULL,
    trade_type TEXT NOT NULL CHECK (trade_type IN ('NATIVE', 'JSAPI', 'MWEB')),
    appid TEXT NOT NULL,
    description TEXT NOT NULL,
    attach TEXT NOT NULL,
    notify_url TEXT NOT NULL,
    total INTEGER NOT NULL CHECK (total > 0),
    openid TEXT NOT NULL,
    parameters TEXT NOT NULL,
    created_at REAL NOT NULL,
    time_expire REAL NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('NOTPAY', 'SUCCESS', 'REFUND', 'CLOSED')),
    transaction_id TEXT UNIQUE,
    paid_at REAL,
    fee INTEGER NOT NULL DEFAULT 0,
    UNIQUE (mchid, out_trade_no),
    CHECK ((state IN ('SUCCESS', 'REFUND')) = (transaction_id IS NOT NULL))
);

CREATE TABLE IF NOT EXISTS links (
    token TEXT PRIMARY KEY,
    prepay_id TEXT NOT NULL UNIQUE,
    order_id INTEGER NOT NULL REFERENCES orders (id),
    expires_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS links_of_order ON links (order_id, expires_at);

CREATE TABLE IF NOT EXISTS refunds (
    id INTEGER PRIMARY KEY,
    order_id INTEGER NOT NULL REFERENCES orders (id),
    mchid TEXT NOT NULL,
    out_refund_no TEXT NOT NULL,
    refund_id TEXT NOT NULL UNIQUE,
    amount INTEGER NOT NULL CHECK (amount > 0),
    fee INTEGER NOT NULL,
    reason TEXT NOT NULL,
    notify_url TEXT NOT NULL,
    source TEXT NOT NULL CHECK (source IN ('api', 'merchant_platform')),
    status TEXT NOT NULL CHECK (status IN ('PROCESSING', 'SUCCESS', 'CLOSED', 'ABNORMAL')),
    created_at REAL NOT NULL,
    settle_at REAL,
    settle_as TEXT NOT NULL,
    settled_at REAL,
    UNIQUE (mchid, out_refund_no)
);
CREATE INDEX IF NOT EXISTS refunds_of_order ON refunds (order_id);
CREATE INDEX IF NOT EXISTS refunds_to_settle ON refunds (settle_at) WHERE status = 'PROCESSING';

-- Each movement of a merchant's money, in fen. Rows are never changed or deleted.
CREATE TABLE IF NOT EXISTS ledger (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    mchid TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN
        ('payment', 'fee', 'refund', 'fee_return', 'refund_return', 'fee_again', 'withdrawal', 'deposit')),
    amount INTEGER NOT NULL,
    order_id INTEGER REFERENCES orders (id),
    refund_id INTEGER REFERENCES refunds (id),
    at REAL NOT NULL,
    CHECK ((kind IN ('payment', 'fee_return', 'refund_return', 'deposit')) = (amount > 0))
);
CREATE UNIQUE INDEX IF NOT EXISTS ledger_once_per_order ON ledger (kind, order_id) WHERE refund_id IS NULL;
CREATE UNIQUE INDEX IF NOT EXISTS ledger_once_per_refund ON ledger (kind, refund_id) WHERE refund_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS ledger_of_merchant ON ledger (mchid, at);
CREATE TRIGGER IF NOT EXISTS ledger_never_updated BEFORE UPDATE ON ledger
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS ledger_never_deleted BEFORE DELETE ON ledger
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

CREATE TABLE IF NOT EXISTS callbacks (
    id INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL,
    mchid TEXT NOT NULL,
    event_type TEXT NOT NULL,
    summary TEXT NOT NULL,
    original_type TEXT NOT NULL,
    resource TEXT NOT NULL,
    notify_url TEXT NOT NULL,
    signing TEXT NOT NULL,
    created_at REAL NOT NULL,
    next_at REAL,
    attempts INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL CHECK (status IN ('waiting', 'held', 'delivered', 'given_up', 'dropped'))
);
CREATE INDEX IF NOT EXISTS callbacks_due ON callbacks (next_at) WHERE status = 'waiting';

CREATE TABLE IF NOT EXISTS callback_attempts (
    id INTEGER PRIMARY KEY,
    callback_id INTEGER NOT NULL REFERENCES callbacks (id),
    at REAL NOT NULL,
    serial TEXT NOT NULL,
    http_status INTEGER,
    error TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS bills (
    mchid TEXT NOT NULL,
    kind TEXT NOT NULL,
    bill_date TEXT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (mchid, kind, bill_date)
);
CREATE TABLE IF NOT EXISTS bill_tokens (
    token TEXT PRIMARY KEY,
    mchid TEXT NOT NULL,
    kind TEXT NOT NULL,
    bill_date TEXT NOT NULL,
    is_gzip INTEGER NOT NULL,
    expires_at REAL NOT NULL
);
"""


class Books:
    """One connection behind a lock: every read and write is serial, so concurrent calls see consistent books."""

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA foreign_keys = ON")
        if path is not None:
            self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.executescript(_SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commits all that the block wrote, or nothing of it. Cannot be nested."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def close(self) -> None:
        with self._lock:
            self._connection.close()
