"""Reads whole rows of a model with SQL written by hand. The columns come from the model, so none is ever forgotten.

    PAYMENT = ModelRow(Payment)
    cursor.execute(f"UPDATE payments SET … RETURNING {PAYMENT.columns}", …)
    payment = PAYMENT.build(cursor.fetchone())

Used where the ORM's building of the statement costs more than running it (ADR 38).
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar

from django.db import connections, models, router

M = TypeVar("M", bound=models.Model)


class ModelRow(Generic[M]):
    def __init__(self, model: type[M]) -> None:
        self._model = model

    @cached_property
    def columns(self) -> str:
        """The columns with their table, in the order in which `build` expects their values."""
        meta = self._model._meta
        return ", ".join(f'"{meta.db_table}"."{field.column}"' for field in meta.concrete_fields)

    def build(self, values: Sequence[Any]) -> M:
        """Makes the instance that the ORM would make of these values."""
        return self._model.from_db(self._alias, self._names, self._convert(values))

    def refresh(self, instance: M, values: Sequence[Any]) -> None:
        """Gives the instance these values, as `refresh_from_db` would. Objects that it refers to stay cached."""
        for name, value in zip(self._names, self._convert(values), strict=True):
            setattr(instance, name, value)
        instance._state.adding, instance._state.db = False, self._alias

    def _convert(self, values: Sequence[Any]) -> list[Any]:
        converted = list(values)
        for position, convert in self._converters:
            converted[position] = convert(converted[position])
        return converted

    @cached_property
    def width(self) -> int:
        """The number of columns, for a statement that returns rows of two models."""
        return len(self._names)

    @cached_property
    def _alias(self) -> str:
        return router.db_for_write(self._model)

    @cached_property
    def _names(self) -> list[str]:
        return [field.attname for field in self._model._meta.concrete_fields]

    @cached_property
    def _converters(self) -> list[tuple[int, Callable[[Any], Any]]]:
        """By position, for the few fields that convert what psycopg returns, such as JSONField."""
        connection = connections[self._alias]
        return [
            (position, _bind(converter, connection))
            for position, field in enumerate(self._model._meta.concrete_fields)
            for converter in field.get_db_converters(connection)
        ]


def _bind(converter: Callable[..., Any], connection: Any) -> Callable[[Any], Any]:
    return lambda value: converter(value, None, connection)
