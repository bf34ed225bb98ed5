"""Scopes: a key does only what it was issued for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from common.errors import MethodNotAllowed
from merchants.errors import CredentialsIncomplete, InsufficientScope
from merchants.principal import Principal

if TYPE_CHECKING:  # at run time the view's module is still loading: it reads this class from the settings
    from rest_framework.views import APIView


class HasScope(BasePermission):
    """Reads the view's `scopes: ClassVar[dict[str, str | None]]`, HTTP method to scope:

        scopes = {"GET": "payments:read", "POST": "payments:write"}

    `None` (`scopes.ANY_KEY`) admits every key, and HEAD needs what GET needs. A method that is not listed is
    not served, so that forgetting the line never opens anything.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not isinstance(request.user, Principal):
            raise CredentialsIncomplete
        scopes: Mapping[str, str | None] = getattr(view, "scopes", {})
        method = "GET" if request.method == "HEAD" else str(request.method)
        if method not in scopes:
            raise MethodNotAllowed(headers={"Allow": ", ".join(scopes)})
        needed = scopes[method]
        if needed is not None and needed not in request.user.scopes:
            raise InsufficientScope({"required_scope": needed})
        return True
