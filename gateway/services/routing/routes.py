"""Routes a payment: reads what the decision needs to know, and turns it into a route."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db.models import Q
from django.utils.translation import gettext as _

from channel_accounts.loaded_accounts import LoadedAccount, load_account
from channel_accounts.serving import choose_account, get_channel_for_attempt
from channels.registry import ChannelNotAvailable, UnknownChannel, get_capabilities, list_channel_names
from common.errors import ValidationFailed
from gateway import limits
from gateway.errors import ChannelUnavailable
from gateway.flows.data import ChannelChoice
from gateway.models import RoutingRule
from gateway.services.routing import success_rates
from gateway.services.routing.decision import ChannelFacts, Decision, decide
from gateway.services.routing.draws import OutcomeCounts
from gateway.services.routing.matching import RoutedPayment
from gateway.services.routing.success_rates import SuccessRateKey


@dataclass(frozen=True, slots=True)
class Route:
    """`sandbox` is about `choice`. `fallbacks` may be tried after it, in their order."""

    choice: ChannelChoice
    sandbox: bool
    fallbacks: tuple[ChannelChoice, ...] = ()


def route_to_channel(*, channel: str, payment: RoutedPayment) -> Route:
    """Routes to the channel that the merchant named, with the merchant's own account if it has one. There are no
    fallback channels.

    Raises `ChannelUnavailable`, `AmountNotSupported`, `ValidationFailed`.
    """
    choice, facts = inspect_channel(channel=channel, payment=payment)
    if facts.unavailable_reason:
        raise ChannelUnavailable({"channel": [facts.unavailable_reason]})
    if facts.refusal is not None:
        raise facts.refusal
    return Route(choice, facts.sandbox)


def inspect_channel(*, channel: str, payment: RoutedPayment) -> tuple[ChannelChoice, ChannelFacts]:
    """The account at the channel that the payment would get, and whether it can take the payment."""
    choice = _choose_account(channel, payment)
    return choice, _inspect(choice, payment)


def route_by_rules(payment: RoutedPayment) -> Route:
    """Routes by the routing rules, or to the default channel. The route of an order is the same in every repetition
    while rules, channels and success rates stay as they are; a payment that exists keeps its route in any case.

    Raises `ChannelUnavailable`, `AmountNotSupported`, `ValidationFailed`.
    """
    decision = _decide(payment, _find_rules(payment))
    error = decision.find_error()
    if error is not None:
        raise error
    first, *rest = decision.usable
    return Route(first.choice, first.facts.sandbox, tuple(candidate.choice for candidate in rest))


def explain_route(payment: RoutedPayment) -> Decision:
    """Decides as `route_by_rules` does, and includes the active rules that do not match."""
    return _decide(payment, list(RoutingRule.objects.filter(environment=payment.environment, is_active=True)))


def _decide(payment: RoutedPayment, rules: Sequence[RoutingRule]) -> Decision:
    return decide(
        payment=payment,
        rules=rules,
        choices={rule.pk: _choose_for_rule(rule, payment) for rule in rules},
        default=_choose_account(_choose_default_channel(payment), payment),
        inspect=lambda choice: _inspect(choice, payment),
        count_outcomes=lambda choice: _count_outcomes(choice, payment),
    )


def _choose_default_channel(payment: RoutedPayment) -> str:
    """The channel of `DEFAULT_CHANNELS`, or the first one that has the payment's method when that channel has not."""
    default: str = settings.DEFAULT_CHANNELS[payment.environment]
    names = (name for name in (default, *list_channel_names()) if _has_method(name, payment.payment_method))
    return next(names, default)


def _has_method(channel: str, payment_method: str) -> bool:
    return get_capabilities(channel).get_method(payment_method) is not None


def _find_rules(payment: RoutedPayment) -> list[RoutingRule]:
    """Leaves out what certainly does not match, so that a merchant does not pay for the rules of the others."""
    rules = RoutingRule.objects.filter(
        Q(merchant=None) | Q(merchant_id=payment.merchant_id),
        Q(min_amount_minor=None) | Q(min_amount_minor__lte=payment.amount_minor),
        Q(max_amount_minor=None) | Q(max_amount_minor__gte=payment.amount_minor),
        environment=payment.environment,
        is_active=True,
        currency__in=("", payment.currency),
    )
    return list(rules)


def _choose_for_rule(rule: RoutingRule, payment: RoutedPayment) -> ChannelChoice:
    if rule.channel_account_id is not None:
        return ChannelChoice(rule.channel, str(rule.channel_account_id))
    return _choose_account(rule.channel, payment)


def _choose_account(channel: str, payment: RoutedPayment) -> ChannelChoice:
    """The merchant's own account at the channel, or the platform's. `_inspect` says whether it takes the payment."""
    account_id = choose_account(
        merchant_id=payment.merchant_id,
        environment=payment.environment,
        channel=channel,
        payment_method=_resolve_method(channel, payment),
    )
    return ChannelChoice(channel, str(account_id or ""))


def _resolve_method(channel: str, payment: RoutedPayment) -> str:
    """The payment's method, which is the channel's first one when the payment names none."""
    method = get_capabilities(channel).get_method(payment.payment_method)
    return method.name if method else payment.payment_method


def _inspect(choice: ChannelChoice, payment: RoutedPayment) -> ChannelFacts:
    try:
        found = get_channel_for_attempt(choice.channel, payment.environment, choice.account_id)
    except (UnknownChannel, ChannelNotAvailable) as error:
        return ChannelFacts(unavailable_reason=str(error))
    refusal = limits.find_refusal(channel=choice.channel, terms=payment.terms)
    if choice.account_id is not None:
        loaded = load_account(choice.account_id)
        if not loaded.is_active:
            return ChannelFacts(unavailable_reason=f"Channel account {loaded.id} is disabled.")
        if loaded.merchant_id not in (None, payment.merchant_id):
            return ChannelFacts(unavailable_reason=f"Channel account {loaded.id} is another merchant's.")
        if loaded.merchant_id is None and payment.environment == "live" and not settings.HOLDS_MERCHANT_FUNDS:
            # `choose_account` never chooses it, but a rule can name it.
            return ChannelFacts(
                unavailable_reason=f"Channel account {loaded.id} would hold merchants' money."
            )
        refusal = refusal or _refuse_method(loaded, _resolve_method(choice.channel, payment))
    return ChannelFacts(refusal=refusal, is_down=found.channel.is_down, sandbox=found.sandbox)


def _refuse_method(account: LoadedAccount, payment_method: str) -> ValidationFailed | None:
    if account.is_method_enabled(payment_method):
        return None
    text = _(
        "Payment method %(method)s is not enabled for channel account %(account)s. Enabled: %(methods)s."
    )
    values = {"account": account.id, "method": payment_method, "methods": ", ".join(account.payment_methods)}
    return ValidationFailed({"payment_method": [text % values]})


def _count_outcomes(choice: ChannelChoice, payment: RoutedPayment) -> OutcomeCounts:
    return success_rates.read_counts(
        SuccessRateKey(
            environment=payment.environment,
            channel=choice.channel,
            account=choice.channel_account,
            payment_method=_resolve_method(choice.channel, payment),
            currency=payment.currency,
        )
    )
