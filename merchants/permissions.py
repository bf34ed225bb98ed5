"""Scopes: a key does only what it was issued for."""

from collections.abc import Mapping

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from merchants.errors import CredentialsIncomplete, InsufficientScope
from merchants.principal import Principal


class HasScope(BasePermission):
    """Reads the view's `scopes: ClassVar[dict[str, str | None]]`, HTTP method to scope:

        scopes = {"GET": "payments:read", "POST": "payments:write"}

    `None` (`scopes.ANY_KEY`) admits every key. HEAD needs what GET needs. A method that the view serves but does
    not list is refused, so that forgetting the line never opens anything.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not isinstance(request.user, Principal):
            raise CredentialsIncomplete
        scopes: Mapping[str, str | None] = getattr(view, "scopes", {})
        method = "GET" if request.method == "HEAD" else str(request.method)
        if method not in scopes:
            if hasattr(view, method.lower()):
                raise InsufficientScope({"method": method})
            return True  # nothing is there to protect: the view answers 405
        needed = scopes[method]
        if needed is not None and needed not in request.user.scopes:
            raise InsufficientScope({"required_scope": needed})
        return True
