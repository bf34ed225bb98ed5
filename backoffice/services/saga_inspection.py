"""Finds sagas for the terminal and the admin, and gathers what there is to know about one."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Q

from common.errors import UnknownObject
from sagas import inspection, registry
from sagas.availability import Operation, get_refusals
from sagas.definitions import Definition
from sagas.inspection import SagaEventView, SagaView
from sagas.models import SagaInstance, SagaStatus, SagaStep

CANDIDATES = 10
RECENT = 200


@dataclass(frozen=True, slots=True)
class SagaDetails:
    saga: SagaView
    history: tuple[SagaEventView, ...]
    operations: Mapping[Operation, str]  # why not, or nothing


def find_saga_details(*, name: str) -> SagaDetails:
    """Raises `UnknownObject` when no saga, or more than one, is meant."""
    return load_saga_details(saga=find_saga(name=name))


def load_saga_details(*, saga: SagaView) -> SagaDetails:
    return SagaDetails(saga=saga, history=inspection.get_saga_history(saga.id), operations=get_refusals(saga))


def find_saga(*, name: str) -> SagaView:
    """By saga id, or by payment or refund number when only one saga is about it."""
    found = _named(name)
    if not found:
        raise UnknownObject(f"There is no saga with the id or the business id {name!r}.")
    if len(found) > 1:
        candidates = "\n".join(f"  {saga.id}  {saga.definition:<16} {saga.status.value}" for saga in found)
        raise UnknownObject(f"{name} has {len(found)} sagas: say which, by its id.\n{candidates}")
    return found[0]


def load_sagas(*, ids: Sequence[uuid.UUID | str]) -> list[SagaView]:
    """Newest first. Unknown and malformed ids are left out."""
    known = [parsed for each in ids if (parsed := _uuid(str(each))) is not None]
    return inspection.get_saga_views(SagaInstance.objects.filter(id__in=known).order_by("-created_at"))


def list_sagas(
    *, status: str = "", definition: str = "", attention: bool = False, due: bool = False, limit: int
) -> list[SagaView]:
    sagas = SagaInstance.objects.order_by("-created_at")
    if status:
        sagas = sagas.filter(status=status)
    if definition:
        sagas = sagas.filter(definition=definition)
    if attention:
        sagas = sagas.filter(needs_attention=True)
    if due:
        sagas = inspection.filter_due(sagas)
    return inspection.get_saga_views(sagas[:limit])


def usual_result_names(*, saga: SagaView) -> tuple[str, ...]:
    """The fields of the result with which the current step succeeds by itself, from the newest sagas: the names alone,
    because the values belong to others."""
    if saga.current is None:
        return ()
    list_sagas = SagaInstance.objects.filter(status=SagaStatus.COMPLETED).order_by("-created_at")
    recent = list(list_sagas.values_list("id", flat=True)[:RECENT])
    results = SagaStep.objects.filter(
        saga_id__in=recent, saga__definition=saga.definition, step_name=saga.current.name
    ).values_list("result", flat=True)
    return tuple(sorted({name for result in results for name in result or {}}))


def find_definition(*, name: str) -> Definition:
    """The newest version. Raises `UnknownObject`."""
    known = registry.list_definitions()
    versions = [definition for definition in known if definition.name == name]
    if not versions:
        names = ", ".join(sorted({definition.name for definition in known}))
        raise UnknownObject(f"There is no definition {name!r}: there are {names}.")
    return versions[-1]


def _named(name: str) -> list[SagaView]:
    saga_id = _uuid(name)
    meant = Q(id=saga_id) if saga_id else Q(business_id=name)
    return inspection.get_saga_views(SagaInstance.objects.filter(meant).order_by("-created_at")[:CANDIDATES])


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
