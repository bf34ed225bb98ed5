"""Columns that no page, list, search or export may load: hashes, sealed secrets and the tokens of links.

They are found by their names, so that new models are covered without a list.
"""

import re
from typing import Any

from django.db.models import ForeignKey, Model, QuerySet

_SECRET_NAME = re.compile(r"^password$|^token$|_hash$|^(previous_)?sealed_|^session_(key|data)$")
_SEALED_NAME = re.compile(r"^(previous_)?sealed_")


def sealed_columns(model: type[Model]) -> list[str]:
    """The names of the fields that hold values of `common.crypto.seal`."""
    return [field.name for field in model._meta.concrete_fields if _SEALED_NAME.search(field.name)]


def secret_columns(model: type[Model]) -> list[str]:
    """The names of the secret fields of the model itself."""
    return [field.name for field in model._meta.concrete_fields if _SECRET_NAME.search(field.name)]


def without_secret_columns(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Leaves secret columns in the database. A related row that has some is joined, because loading it later would
    fetch all of its columns."""
    joined, deferred = [], secret_columns(rows.model)
    for field in rows.model._meta.concrete_fields:
        if isinstance(field, ForeignKey) and (secrets := secret_columns(field.related_model)):
            joined.append(field.name)
            deferred += [f"{field.name}__{name}" for name in secrets]
    return (rows.select_related(*joined) if joined else rows).defer(*deferred)
