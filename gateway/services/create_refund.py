"""POST /refunds: reserves the amount, has the channel refund it, and settles it (`flows/refund_create.py`)."""

from django.utils.translation import gettext as _

from common.api.envelope import Answer, accepted, failure, success
from gateway.errors import RefundDeclined, build_declined_error
from gateway.flows import refund_create
from gateway.models import Payment, Refund, RefundStatus
from gateway.representation import refund_body, refund_path
from gateway.services import channel_queries
from gateway.services.saga_writes import SagaResult, run_claimed_saga
from idempotency.request import KeyedRequest
from idempotency.services.claim import Claim
from idempotency.services.claim_key import claim_key
from sagas.models import SagaStatus
from sagas.state import SagaState


def create_refund(*, payment: Payment, amount_minor: int, reason: str, request: KeyedRequest) -> Answer:
    """Refunds a payment, in whole or in part. Queries the channel first when the payment is not known to be paid. The
    API calls `find_replay` before.

    Raises `PaymentNotRefundable`, `PaymentDisputed`, `RefundExceedsPayment`, `ServiceUnavailable`, and what the
    channel's limits refuse. A channel that wants a pause between refunds is called after it: the answer is 202.
    """
    if not payment.has_refundable_status:
        channel_queries.query_payment(payment=payment)

    def begin(claim: Claim[SagaState | None]) -> SagaState:
        return refund_create.start_refund_create(
            payment=payment, refund_id=claim.resource_id, amount_minor=amount_minor, reason=reason
        )

    claim = claim_key(request, begin=begin, reads_cache=False)
    return run_claimed_saga(claim, build_answer=_build_answer)


def _build_answer(result: SagaResult) -> Answer:
    settled = result.written_objects.get(refund_create.SETTLED_REFUND)
    refund = settled or Refund.objects.select_related("payment").get(id=result.saga_id)
    match result.status, refund.status:
        # A failed saga needs review. It is over for the merchant once staff have closed it with an outcome.
        case (SagaStatus.COMPENSATED, _) | (SagaStatus.FAILED, RefundStatus.FAILED):
            details = {
                "refund_no": refund.refund_no,
                "payment_no": refund.payment.payment_no,
                "status": refund.status,
                "failure_code": refund.failure_code,
                "failure_message": refund.failure_message,
            }
            return failure(build_declined_error(RefundDeclined, details))
        case (SagaStatus.COMPLETED, _) | (SagaStatus.FAILED, RefundStatus.SUCCEEDED):
            return success(refund_body(refund), message=_("Refund created"))
    return accepted(refund_body(refund), location=refund_path(refund))
