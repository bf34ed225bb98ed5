"""A routing decision in words: one line for each candidate."""

from dataclasses import dataclass

from django.utils.translation import gettext as _

from backoffice.actions.refusals import refusal_text
from gateway.models import RoutingRule
from gateway.services.routing.decision import Candidate, Decision, OrderedBy, Verdict


@dataclass(frozen=True, slots=True)
class CandidateLine:
    """`rank` is "1" for the channel that would take the payment, then "2" …; empty for one that is left out."""

    rank: str
    channel: str
    account: str
    rule_id: int | None
    reason: str


def list_lines(decision: Decision) -> list[CandidateLine]:
    return [
        CandidateLine(
            rank=str(candidate.rank or ""),
            channel=candidate.choice.channel,
            account=candidate.choice.channel_account or _("platform"),
            rule_id=candidate.rule.pk if candidate.rule else None,
            reason=_describe(candidate),
        )
        for candidate in decision.candidates
    ]


def _describe(candidate: Candidate) -> str:
    match candidate.verdict:
        case Verdict.NO_MATCH:
            field = RoutingRule._meta.get_field(candidate.failed_condition)
            name = getattr(field, "verbose_name", candidate.failed_condition)
            return _("Left out: the rule does not match (%(field)s).") % {"field": name}
        case Verdict.REPEATED:
            return _("Left out: a better rule names the same account.")
        case Verdict.NOT_SET_UP:
            return _("Left out: %(reason)s") % {"reason": candidate.facts.unavailable_reason}
        case Verdict.NOT_SUPPORTED:
            assert candidate.facts.refusal is not None
            return _("Left out: %(reason)s") % {"reason": refusal_text(candidate.facts.refusal)}
    sentences = [_describe_order(candidate)]
    if candidate.facts.is_down:
        sentences.append(_("The circuit breaker is open: it comes last."))
    if candidate.facts.sandbox:
        sentences.append(_("The simulator serves in its place."))
    return " ".join(sentences)


def _describe_order(candidate: Candidate) -> str:
    rule = candidate.rule
    if rule is None:
        return _("The default channel: no rule matches.")
    match candidate.ordered_by:
        case OrderedBy.WEIGHT:
            text = _("Priority %(priority)s, drawn with weight %(weight)s.")
        case OrderedBy.EXPLORATION:
            text = _(
                "Priority %(priority)s, drawn with weight %(weight)s: the success rate does not decide for 5%% of the "
                "orders, so that all rates stay measured."
            )
        case OrderedBy.SUCCESS_RATE:
            text = _("Priority %(priority)s, success rate %(rate)s.")
        case _:
            text = _("Priority %(priority)s, the only rule of it.")
    return text % {"priority": rule.priority, "weight": rule.weight, "rate": _format_rate(candidate)}


def _format_rate(candidate: Candidate) -> str:
    counts = candidate.counts
    if counts is None or counts.rate is None:
        return _("unknown")
    return _("%(percent).1f%% of %(count).0f recent outcomes") % {
        "percent": counts.rate * 100,
        "count": counts.succeeded + counts.failed,
    }
