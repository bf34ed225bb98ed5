"""The attempt that the step CallPaymentChannel is at. The step's result holds it from the second attempt on."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from channel_accounts.serving import get_channel_for_attempt, get_channel_of_payment, is_down
from channels.guard import GuardedChannel
from gateway.flows.data import ChannelChoice, PaymentCreateData
from gateway.models import build_attempt_reference
from sagas.outcomes import Json

CALL_PAYMENT_CHANNEL = "CallPaymentChannel"
MAX_REPETITIONS_PER_CHANNEL = 3


@dataclass(frozen=True, slots=True)
class ChannelAttempt:
    """`first_number` is the number of the saga's first attempt: above 1 for a further attempt of a closed payment."""

    payment_no: str
    number: int
    choice: ChannelChoice
    sandbox: bool
    first_number: int

    @classmethod
    def read(cls, data: PaymentCreateData, results: Mapping[str, Json]) -> Self:
        result = results.get(CALL_PAYMENT_CHANNEL, {})
        if "attempt" not in result:
            return cls(data.payment_no, data.first_attempt, data.choices[0], data.sandbox, data.first_attempt)
        choice = ChannelChoice(result["channel"], result["channel_account"])
        return cls(data.payment_no, result["attempt"], choice, result["sandbox"], data.first_attempt)

    def to_result(self) -> Json:
        if self.number == self.first_number:
            return {}
        return {
            "attempt": self.number,
            "channel": self.choice.channel,
            "channel_account": self.choice.channel_account,
            "sandbox": self.sandbox,
        }

    @property
    def reference(self) -> str:
        return build_attempt_reference(self.payment_no, self.number)

    def build_key(self, call_key: str) -> str:
        """The idempotency key of a call for this attempt."""
        return call_key if self.number == self.first_number else f"{call_key}:{self.number}"

    def get_channel(self, environment: str) -> GuardedChannel:
        return get_channel_of_payment(
            self.choice.channel, environment, sandbox=self.sandbox, account_id=self.choice.account_id
        )

    def repeat_at_same_channel(self, data: PaymentCreateData) -> Self | None:
        """The next attempt, at the same channel; None after too many."""
        repetitions = self.number - self.first_number - data.choices.index(self.choice)
        if repetitions >= MAX_REPETITIONS_PER_CHANNEL:
            return None
        return replace(self, number=self.number + 1)

    def fail_over(self, data: PaymentCreateData) -> Self | None:
        """The next attempt, at the next fallback channel that is up, or at the next one if all are down. None when
        there is none."""
        left = data.choices[data.choices.index(self.choice) + 1 :]
        if not left:
            return None
        up = (each for each in left if not is_down(each.channel, data.environment, each.account_id))
        choice = next(up, left[0])
        available = get_channel_for_attempt(choice.channel, data.environment, choice.account_id)
        return replace(self, number=self.number + 1, choice=choice, sandbox=available.sandbox)
