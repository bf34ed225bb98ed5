"""The allowed transitions. The triggers of migration 0002 enforce the same pairs, and docs/ARCHITECTURE.md lists them;
a test compares the three."""

from collections.abc import Mapping

from gateway.models import AttemptStatus, CaptureStatus, IncrementStatus, PaymentStatus, RefundStatus

PAYMENT_TRANSITIONS: Mapping[PaymentStatus, tuple[PaymentStatus, ...]] = {
    PaymentStatus.PENDING: (
        PaymentStatus.PROCESSING,
        PaymentStatus.AUTHORIZED,
        PaymentStatus.SUCCEEDED,
        PaymentStatus.FAILED,
        PaymentStatus.CANCELLED,
        PaymentStatus.EXPIRED,
    ),
    PaymentStatus.PROCESSING: (
        PaymentStatus.AUTHORIZED,
        PaymentStatus.SUCCEEDED,
        PaymentStatus.FAILED,
        PaymentStatus.CANCELLED,
        PaymentStatus.EXPIRED,
    ),
    PaymentStatus.AUTHORIZED: (
        PaymentStatus.SUCCEEDED,
        PaymentStatus.FAILED,
        PaymentStatus.CANCELLED,
        PaymentStatus.EXPIRED,
    ),
    PaymentStatus.SUCCEEDED: (),
    # A further attempt reopens a closed payment (ADR 18).
    PaymentStatus.FAILED: (PaymentStatus.PENDING,),
    PaymentStatus.CANCELLED: (PaymentStatus.PENDING,),
    PaymentStatus.EXPIRED: (PaymentStatus.PENDING,),
}

ATTEMPT_TRANSITIONS: Mapping[AttemptStatus, tuple[AttemptStatus, ...]] = {
    AttemptStatus.CALLING: (
        AttemptStatus.OPEN,
        AttemptStatus.SUCCEEDED,
        AttemptStatus.DECLINED,
        AttemptStatus.CANCELLED,
    ),
    AttemptStatus.OPEN: (AttemptStatus.SUCCEEDED, AttemptStatus.DECLINED, AttemptStatus.CANCELLED),
    AttemptStatus.SUCCEEDED: (),
    # A duplicate payment.
    AttemptStatus.DECLINED: (AttemptStatus.SUCCEEDED,),
    AttemptStatus.CANCELLED: (AttemptStatus.SUCCEEDED,),
}

CAPTURE_TRANSITIONS: Mapping[CaptureStatus, tuple[CaptureStatus, ...]] = {
    CaptureStatus.PENDING: (CaptureStatus.SUCCEEDED, CaptureStatus.FAILED),
    CaptureStatus.SUCCEEDED: (),
    CaptureStatus.FAILED: (),
}

INCREMENT_TRANSITIONS: Mapping[IncrementStatus, tuple[IncrementStatus, ...]] = {
    IncrementStatus.PENDING: (IncrementStatus.SUCCEEDED, IncrementStatus.FAILED),
    IncrementStatus.SUCCEEDED: (),
    # The channel reports the larger amount after all.
    IncrementStatus.FAILED: (IncrementStatus.SUCCEEDED,),
}

REFUND_TRANSITIONS: Mapping[RefundStatus, tuple[RefundStatus, ...]] = {
    RefundStatus.PENDING: (RefundStatus.PROCESSING, RefundStatus.SUCCEEDED, RefundStatus.FAILED),
    RefundStatus.PROCESSING: (RefundStatus.SUCCEEDED, RefundStatus.FAILED),
    # The channel contradicts the settled outcome.
    RefundStatus.SUCCEEDED: (RefundStatus.FAILED,),
    RefundStatus.FAILED: (RefundStatus.SUCCEEDED,),
}
