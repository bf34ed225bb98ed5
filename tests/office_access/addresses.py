"""Every address below /admin/, with rows for those that need one."""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from django.apps import apps
from django.contrib.admin.utils import quote
from django.db.models import Model
from django.urls import URLPattern, get_resolver

SAMPLES = {"int": "1", "str": "retry_now", "uuid": str(uuid.UUID(int=1)), "path": "1", None: "x"}
PLACEHOLDER = re.compile(r"<(?:(\w+):)?(\w+)>")


@dataclass(frozen=True, slots=True)
class Address:
    """`name` is that of its URL pattern, `model` the one whose admin has it."""

    name: str | None
    model: type[Model] | None
    route: str

    @property
    def has_object(self) -> bool:
        return "object_id>" in self.route

    def fill(self, object_id: str | None = None) -> str:
        """Returns the path of the page of the first row of the model, or of `object_id`."""
        if object_id is None and self.has_object and self.model is not None:
            row = self.model._default_manager.first()
            assert row is not None, f"the test leaves {self.model} empty"
            object_id = quote(str(row.pk))

        def sample(match: re.Match[str]) -> str:
            if match[2] == "object_id" and object_id is not None:
                return object_id
            return SAMPLES[match[1]]

        return "/" + PLACEHOLDER.sub(sample, self.route)


def list_addresses() -> Iterator[Address]:
    """Lists all addresses, without the regular expressions of Django for pages of an app and unknown pages."""
    models = {f"{model._meta.app_label}_{model._meta.model_name}": model for model in apps.get_models()}

    def walk(patterns: list[object], where: str = "") -> Iterator[tuple[str | None, str]]:
        for pattern in patterns:
            route = where + str(pattern.pattern)  # type: ignore[attr-defined]
            if not isinstance(pattern, URLPattern):
                yield from walk(pattern.url_patterns, route)  # type: ignore[attr-defined]
            elif route.startswith("admin/"):
                yield pattern.name, route

    for name, route in walk(get_resolver().url_patterns):
        prefixes = (prefix for prefix in models if (name or "").startswith(f"{prefix}_"))
        yield Address(name, models.get(max(prefixes, key=len, default="")), route)
