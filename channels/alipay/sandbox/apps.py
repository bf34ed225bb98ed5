"""Applications: each has its number, its keys, the merchant who receives the money, and the products it has signed."""

import secrets
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from cryptography.hazmat.primitives.asymmetric import rsa

from channels.alipay.sandbox import signatures

PAGE_PAY = "FAST_INSTANT_TRADE_PAY"  # open/028r8t, product_code
WAP_PAY = "QUICK_WAP_WAY"  # page of alipay.trade.wap.pay, product_code
FACE_TO_FACE = "FACE_TO_FACE_PAYMENT"  # page of alipay.trade.precreate, product_code
ORDER_CODE = "QR_CODE_OFFLINE"  # the same API with the product's newer name
ALL_PRODUCTS = (PAGE_PAY, WAP_PAY, FACE_TO_FACE)


@dataclass(frozen=True)
class App:
    """`refund_days`: how long a trade can be refunded, which the merchant's contract says; 0: never."""

    app_id: str
    seller_id: str
    name: str
    app_public_key: str
    alipay_private_key: str
    products: str
    refund_days: int
    fee_basis_points: int

    @cached_property
    def verifying_key(self) -> rsa.RSAPublicKey:
        return signatures.load_public_key(self.app_public_key)

    @cached_property
    def signing_key(self) -> rsa.RSAPrivateKey:
        return signatures.load_private_key(self.alipay_private_key)

    @property
    def alipay_public_key(self) -> str:
        return signatures.write_public_key(self.signing_key.public_key())

    def has_signed(self, product: str) -> bool:
        return product in self.products.split(",")

    def fee_of(self, fen: int) -> int:
        return (fen * self.fee_basis_points + 5000) // 10000


def register(
    connection: sqlite3.Connection,
    *,
    app_public_key: str,
    alipay_private_key: str,
    app_id: str = "",
    seller_id: str = "",
    name: str = "Sandbox shop 沙箱商户",
    products: Iterable[str] = ALL_PRODUCTS,
    refund_days: int = 365,
    fee_basis_points: int = 0,
) -> App:
    """Raises ValueError when a field is wrong, a key cannot be read, or the app_id is taken."""
    if not all(isinstance(text, str) for text in (app_id, seller_id, name)):
        raise ValueError("app_id, seller_id, name: texts")
    if not all(type(number) is int for number in (refund_days, fee_basis_points)):
        raise ValueError("refund_days, fee_basis_points: whole numbers")
    signatures.load_public_key(app_public_key)
    signatures.load_private_key(alipay_private_key)
    app = App(
        app_id=app_id or f"2021{secrets.randbelow(10**12):012d}",  # 16 digits, common parameters: app_id
        seller_id=seller_id or f"2088{secrets.randbelow(10**12):012d}",  # 16 digits that begin with 2088
        name=name,
        app_public_key=app_public_key,
        alipay_private_key=alipay_private_key,
        products=",".join(products),
        refund_days=refund_days,
        fee_basis_points=fee_basis_points,
    )
    try:
        connection.execute(
            "INSERT INTO apps VALUES (:app_id, :seller_id, :name, :app_public_key, :alipay_private_key, :products,"
            " :refund_days, :fee_basis_points)",
            vars(app),
        )
    except sqlite3.IntegrityError as error:
        raise ValueError(f"app_id {app.app_id} cannot be registered: {error}") from error
    return app


def find(connection: sqlite3.Connection, app_id: str) -> App | None:
    row = connection.execute("SELECT * FROM apps WHERE app_id = ?", (app_id,)).fetchone()
    return None if row is None else App(**dict(row))


def get(connection: sqlite3.Connection, app_id: str) -> App:
    """Raises ValueError."""
    app = find(connection, app_id)
    if app is None:
        raise ValueError(f"no app {app_id}")
    return app


def all_of(connection: sqlite3.Connection) -> list[App]:
    return [App(**dict(row)) for row in connection.execute("SELECT * FROM apps ORDER BY app_id")]
