"""Superusers are made and managed in the terminal only: no page of the back office changes one."""

from django.contrib.auth.models import User
from django.utils.translation import gettext_lazy

from common.errors import OperationRefused

SUPERUSER_REFUSED = gettext_lazy("This is a superuser account. It can only be managed in the terminal.")


def refuse_superuser(user: User) -> None:
    """Raises `OperationRefused`."""
    if user.is_superuser:
        raise OperationRefused(str(SUPERUSER_REFUSED))
