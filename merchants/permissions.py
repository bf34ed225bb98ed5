"""Checks that the API key has the scope that a view requires."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from common.errors import MethodNotAllowed
from merchants.errors import CredentialsIncomplete, InsufficientScope
from merchants.principal import Principal

if TYPE_CHECKING:  # at run time this would be a circular import: the settings name this class
    from rest_framework.views import APIView


class HasScope(BasePermission):
    """Reads the view's `scopes: ClassVar[dict[str, str | None]]`, HTTP method to scope:

        scopes = {"GET": "payments:read", "POST": "payments:write"}

    `None` (`scopes.ANY_KEY`) admits every key, and HEAD needs the scope of GET. A method that is not listed is
    not served, so a forgotten line opens nothing.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not isinstance(request.user, Principal):
            raise CredentialsIncomplete
        scopes: Mapping[str, str | None] = getattr(view, "scopes", {})
        method = "GET" if request.method == "HEAD" else str(request.method)
        if method not in scopes:
            raise MethodNotAllowed(headers={"Allow": ", ".join(scopes)})
        required = scopes[method]
        if required is not None and required not in request.user.scopes:
            raise InsufficientScope({"required_scope": required})
        return True
