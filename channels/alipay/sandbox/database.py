"""The bank's tables in SQLite: in memory, or in a file that survives a restart.

One connection and one lock: transactions run one after the other. Times are texts of Beijing time, which sort as times.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager

IN_MEMORY = ":memory:"

_TABLES = """
CREATE TABLE IF NOT EXISTS apps (
    app_id TEXT PRIMARY KEY,
    seller_id TEXT NOT NULL,
    name TEXT NOT NULL,
    app_public_key TEXT NOT NULL,
    alipay_private_key TEXT NOT NULL,
    products TEXT NOT NULL,
    refund_days INTEGER NOT NULL CHECK (refund_days >= 0),
    fee_basis_points INTEGER NOT NULL CHECK (fee_basis_points BETWEEN 0 AND 10000)
);
-- What a merchant has signed or precreated. A trade comes into being when the customer opens it.
CREATE TABLE IF NOT EXISTS offers (
    token TEXT PRIMARY KEY,
    app_id TEXT NOT NULL REFERENCES apps,
    product TEXT NOT NULL,
    out_trade_no TEXT NOT NULL,
    total_fen INTEGER NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    passback_params TEXT NOT NULL,
    notify_url TEXT NOT NULL,
    return_url TEXT NOT NULL,
    quit_url TEXT NOT NULL,
    charset TEXT NOT NULL,
    valid_until TEXT,
    time_expire TEXT,
    timeout_seconds INTEGER
);
CREATE TABLE IF NOT EXISTS trades (
    trade_no TEXT PRIMARY KEY,
    app_id TEXT NOT NULL REFERENCES apps,
    seller_id TEXT NOT NULL,
    out_trade_no TEXT NOT NULL,
    product TEXT NOT NULL,
    total_fen INTEGER NOT NULL CHECK (total_fen > 0),
    refunded_fen INTEGER NOT NULL DEFAULT 0 CHECK (refunded_fen BETWEEN 0 AND total_fen),
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    passback_params TEXT NOT NULL,
    notify_url TEXT NOT NULL,
    charset TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('WAIT_BUYER_PAY', 'TRADE_CLOSED', 'TRADE_SUCCESS', 'TRADE_FINISHED')),
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    paid_at TEXT,
    closed_at TEXT,
    UNIQUE (seller_id, out_trade_no),
    CHECK (paid_at IS NOT NULL OR status IN ('WAIT_BUYER_PAY', 'TRADE_CLOSED')),
    CHECK (paid_at IS NULL OR status <> 'WAIT_BUYER_PAY')
);
CREATE TABLE IF NOT EXISTS refunds (
    trade_no TEXT NOT NULL REFERENCES trades,
    out_request_no TEXT NOT NULL,
    amount_fen INTEGER NOT NULL CHECK (amount_fen > 0),
    reason TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'succeeded', 'failed')),
    origin TEXT NOT NULL CHECK (origin IN ('api', 'cancel', 'console')),
    requested_at TEXT NOT NULL,
    decided_at TEXT,
    due_at TEXT,
    fails_later INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (trade_no, out_request_no),
    CHECK ((state = 'pending') = (decided_at IS NULL))
);
CREATE TABLE IF NOT EXISTS ledger (
    id INTEGER PRIMARY KEY,
    seller_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('payment', 'fee', 'refund', 'withdrawal', 'deposit')),
    amount_fen INTEGER NOT NULL CHECK (amount_fen <> 0),
    trade_no TEXT NOT NULL,
    out_trade_no TEXT NOT NULL,
    out_request_no TEXT NOT NULL,
    booked_at TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS one_payment_per_trade ON ledger (trade_no) WHERE kind = 'payment';
CREATE UNIQUE INDEX IF NOT EXISTS one_entry_per_refund ON ledger (trade_no, out_request_no) WHERE kind = 'refund';
CREATE TRIGGER IF NOT EXISTS ledger_is_never_updated BEFORE UPDATE ON ledger
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS ledger_is_never_deleted BEFORE DELETE ON ledger
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS balance_is_never_negative AFTER INSERT ON ledger
    WHEN (SELECT SUM(amount_fen) FROM ledger WHERE seller_id = NEW.seller_id) < 0
    BEGIN SELECT RAISE(ABORT, 'the balance of the seller is not enough'); END;
CREATE TABLE IF NOT EXISTS notices (
    id INTEGER PRIMARY KEY,
    notify_id TEXT NOT NULL,
    app_id TEXT NOT NULL REFERENCES apps,
    trade_no TEXT NOT NULL,
    url TEXT NOT NULL,
    fields TEXT NOT NULL,
    flaw TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL CHECK (state IN ('waiting', 'held', 'acknowledged', 'given_up', 'suppressed')),
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_at TEXT NOT NULL,
    last_answer TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS offers_by_number ON offers (app_id, out_trade_no);
CREATE INDEX IF NOT EXISTS unpaid_trades ON trades (expires_at) WHERE status = 'WAIT_BUYER_PAY';
CREATE INDEX IF NOT EXISTS refundable_trades ON trades (app_id, paid_at) WHERE status = 'TRADE_SUCCESS';
CREATE INDEX IF NOT EXISTS pending_refunds ON refunds (due_at) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS ledger_of_seller ON ledger (seller_id, amount_fen);
CREATE INDEX IF NOT EXISTS waiting_notices ON notices (next_attempt_at) WHERE state = 'waiting';
CREATE TABLE IF NOT EXISTS bill_links (
    token TEXT PRIMARY KEY,
    seller_id TEXT NOT NULL,
    bill_date TEXT NOT NULL,
    valid_until TEXT NOT NULL
);
"""


class BooksDatabase:
    def __init__(self, path: str = IN_MEMORY) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.executescript("PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL;" + _TABLES)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything inside is committed together, or nothing when an exception leaves it."""
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
