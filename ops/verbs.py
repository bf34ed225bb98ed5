"""The permissions that the back office asks for. Which role has which is decided where roles are."""

from typing import Final

REFUND: Final = "access.refund_payment"
OPERATE: Final = "sagas.operate_sagainstance"
APPROVE: Final = "access.approve_operation"
