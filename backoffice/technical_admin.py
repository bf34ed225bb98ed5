"""Lists of technical tables whose apps know no environment. Here they follow the switch between test and live."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet

from channels.simulator.admin import (
    SimulatedDisputeAdmin,
    SimulatedEvidenceFileAdmin,
    SimulatedPaymentAdmin,
    SimulatedRefundAdmin,
)
from channels.simulator.models import (
    SimulatedDispute,
    SimulatedEvidenceFile,
    SimulatedPayment,
    SimulatedRefund,
)
from idempotency.admin import IdempotencyKeyAdmin
from idempotency.models import IdempotencyKey
from merchants.admin import EnvironmentFilter, environment_filter
from sagas.admin import SagaEventAdmin, SagaSignalAdmin, SagaStepAdmin
from sagas.models import SagaEvent, SagaSignal, SagaStep

admin.site.unregister([SagaStep, SagaEvent, SagaSignal, IdempotencyKey])
admin.site.unregister([SimulatedPayment, SimulatedRefund, SimulatedDispute, SimulatedEvidenceFile])
saga_environment_filter = environment_filter("saga__task_queue")


class TenantFilter(EnvironmentFilter):
    """For requests: their tenant is the merchant's id, a colon and the environment."""

    @classmethod
    def narrow(cls, rows: QuerySet[Any], environment: str) -> QuerySet[Any]:
        return rows.filter(tenant__endswith=f":{environment}")

    @classmethod
    def read_environment(cls, row: IdempotencyKey) -> str:
        return row.tenant.rpartition(":")[2]


@admin.register(SagaStep)
class ScopedSagaStepAdmin(SagaStepAdmin):
    list_filter = (*SagaStepAdmin.list_filter, saga_environment_filter)  # type: ignore[assignment]


@admin.register(SagaEvent)
class ScopedSagaEventAdmin(SagaEventAdmin):
    list_filter = (*SagaEventAdmin.list_filter, saga_environment_filter)  # type: ignore[assignment]


@admin.register(SagaSignal)
class ScopedSagaSignalAdmin(SagaSignalAdmin):
    list_filter = (saga_environment_filter,)


@admin.register(IdempotencyKey)
class ScopedIdempotencyKeyAdmin(IdempotencyKeyAdmin):
    list_filter = (*IdempotencyKeyAdmin.list_filter, TenantFilter)  # type: ignore[assignment]


@admin.register(SimulatedPayment)
class ScopedSimulatedPaymentAdmin(SimulatedPaymentAdmin):
    list_filter = (*SimulatedPaymentAdmin.list_filter, EnvironmentFilter)  # type: ignore[assignment]


@admin.register(SimulatedRefund)
class ScopedSimulatedRefundAdmin(SimulatedRefundAdmin):
    list_filter = (*SimulatedRefundAdmin.list_filter, environment_filter("payment__environment"))  # type: ignore[assignment]


@admin.register(SimulatedDispute)
class ScopedSimulatedDisputeAdmin(SimulatedDisputeAdmin):
    list_filter = (*SimulatedDisputeAdmin.list_filter, environment_filter("payment__environment"))  # type: ignore[assignment]


@admin.register(SimulatedEvidenceFile)
class ScopedSimulatedEvidenceFileAdmin(SimulatedEvidenceFileAdmin):
    list_filter = (environment_filter("dispute__payment__environment"),)
