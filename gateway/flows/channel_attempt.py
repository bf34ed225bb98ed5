"""The attempt that the step CallPaymentChannel is at. The step's result holds it from the second attempt on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from channels.guard import GuardedChannel
from channels.registry import get_channel, get_channel_of_payment, is_down
from gateway.flows.data import PaymentCreateData
from gateway.models import build_attempt_reference
from sagas.outcomes import Json

CALL_PAYMENT_CHANNEL = "CallPaymentChannel"
MAX_REPETITIONS_PER_CHANNEL = 3


@dataclass(frozen=True, slots=True)
class ChannelAttempt:
    """`first_number` is the number of the saga's first attempt: above 1 for a further attempt of a closed payment."""

    payment_no: str
    number: int
    channel: str
    sandbox: bool
    first_number: int

    @classmethod
    def read(cls, data: PaymentCreateData, results: Mapping[str, Json]) -> Self:
        result = results.get(CALL_PAYMENT_CHANNEL, {})
        if "attempt" not in result:
            return cls(data.payment_no, data.first_attempt, data.channel, data.sandbox, data.first_attempt)
        return cls(
            data.payment_no, result["attempt"], result["channel"], result["sandbox"], data.first_attempt
        )

    def to_result(self) -> Json:
        if self.number == self.first_number:
            return {}
        return {"attempt": self.number, "channel": self.channel, "sandbox": self.sandbox}

    @property
    def reference(self) -> str:
        return build_attempt_reference(self.payment_no, self.number)

    def build_key(self, call_key: str) -> str:
        """The idempotency key of a call for this attempt."""
        return call_key if self.number == self.first_number else f"{call_key}:{self.number}"

    def get_channel(self, environment: str) -> GuardedChannel:
        return get_channel_of_payment(self.channel, environment, sandbox=self.sandbox)

    def repeat_at_same_channel(self, data: PaymentCreateData) -> Self | None:
        """The next attempt, at the same channel; None after too many."""
        channels = (data.channel, *data.fallback_channels)
        repetitions = self.number - self.first_number - channels.index(self.channel)
        if repetitions >= MAX_REPETITIONS_PER_CHANNEL:
            return None
        return replace(self, number=self.number + 1)

    def fail_over(self, data: PaymentCreateData) -> Self | None:
        """The next attempt, at the next fallback channel that is up, or at the next one if all are down. None when
        there is none."""
        channels = (data.channel, *data.fallback_channels)
        left = channels[channels.index(self.channel) + 1 :]
        if not left:
            return None
        up = (channel for channel in left if not is_down(channel, data.environment))
        channel = next(up, left[0])
        sandbox = get_channel(channel, data.environment).sandbox
        return replace(self, number=self.number + 1, channel=channel, sandbox=sandbox)
