"""The permissions that the back office asks for. Which role has which is decided where roles are."""

from typing import Final

REFUND: Final = "staff.refund_payment"
OPERATE: Final = "sagas.operate_sagainstance"
APPROVE: Final = "staff.approve_operation"
