"""dispute.respond: submits evidence for a dispute, or accepts that it is lost (ADR 49).

1. BeginResponse (LOCAL)               fixes the draft    compensation: the response failed
2. ReadDispute (EXTERNAL)              how many submissions the channel counts before ours
3. UploadFiles (EXTERNAL)              one call for each file; a file alone is no response
4. RespondAtChannel (EXTERNAL, pivot)  after a lost answer the channel is queried: it counts submissions
5. RecordResponse (LOCAL)

A bank takes evidence once. The channel's webhook reports what became of the dispute.
"""

import uuid
from collections.abc import Callable

from django.utils.translation import gettext_lazy

from channels.base import (
    AcceptDispute,
    ChannelDispute,
    Declined,
    DisputeRef,
    DisputeState,
    NewKeyRequired,
    Reported,
    SubmitEvidence,
    UploadEvidence,
)
from channels.guard import GuardedDisputes
from gateway import state_machine
from gateway.flows.channel_outcomes import (
    convert_call_answer,
    convert_query_after_used_key,
    convert_query_answer,
)
from gateway.flows.data import DisputeRespondData
from gateway.flows.start import start_flow
from gateway.models import Dispute, DisputeResponse, EvidenceFile, ResponseKind
from sagas.definitions import EXTERNAL, LOCAL, Call, Context, Definition, Resolution, Step
from sagas.outcomes import CallNotFound, Failure, NextCall, NoEffect, Outcome, Success
from sagas.registry import register
from sagas.state import SagaState

_READ, _UPLOADS = "ReadDispute", "UploadFiles"
_CLOSED = (DisputeState.WON, DisputeState.LOST, DisputeState.CLOSED)


def begin_response(context: Context) -> None:
    data = DisputeRespondData.read(context.data)
    state_machine.begin_response(response_id=data.response_id)


def fail_response(context: Context) -> None:
    """Compensation: nothing was submitted. The uploaded files stay at the channel and are no response."""
    data = DisputeRespondData.read(context.data)
    failure = context.failure or Failure("unknown", "")
    state_machine.mark_response_failed(
        response_id=data.response_id, code=failure.code, message=failure.message
    )


def read_dispute(call: Call) -> Outcome:
    """Changes nothing, so that it is repeated without a query."""
    data = DisputeRespondData.read(call.data)
    port, ref = _get_port(data, call)
    answer = port.find_dispute(ref)
    if not isinstance(answer, Reported):
        return convert_call_answer(answer)
    if answer.value.state in _CLOSED:
        return Failure("dispute_closed", f"the channel has the dispute as {answer.value.state}")
    return Success({"submission_count": answer.value.submission_count or 0})


def upload_files(call: Call) -> Outcome:
    """Uploads the next file; an acceptance needs none. Without a query: a repetition with the same key makes no second
    file."""
    data = DisputeRespondData.read(call.data)
    if data.kind == ResponseKind.ACCEPTANCE:
        return Success({"files": {}})
    uploaded = dict(call.results.get(_UPLOADS, {}).get("files", {}))
    files = EvidenceFile.objects.filter(response_id=data.response_id).order_by("field")
    missing = [file for file in files if file.field not in uploaded]
    if not missing:
        return Success({"files": uploaded})
    file = missing[0]
    with file.content.open("rb") as stream:
        content = stream.read()
    port, ref = _get_port(data, call)
    answer = port.upload_evidence(
        UploadEvidence(f"{call.key}-{file.field}", ref, file.original_name, content)
    )
    if isinstance(answer, NewKeyRequired):
        return NoEffect(answer.reason)
    if not isinstance(answer, Reported):
        return convert_call_answer(answer)
    uploaded[file.field] = answer.value
    result = {"files": uploaded}
    return Success(result) if len(missing) == 1 else NextCall(result)


def respond_at_channel(call: Call) -> Outcome:
    data = DisputeRespondData.read(call.data)
    port, ref = _get_port(data, call)
    if data.kind == ResponseKind.ACCEPTANCE:
        answer = port.accept_dispute(AcceptDispute(call.key, ref))
    else:
        files = call.results.get(_UPLOADS, {}).get("files", {})
        answer = port.submit_evidence(SubmitEvidence(call.key, ref, data.texts, files))
    if isinstance(answer, Reported):
        return _convert_dispute(call, data, answer.value)
    if isinstance(answer, NewKeyRequired):
        return convert_query_after_used_key(query_channel(call))
    queried = query_channel(call) if isinstance(answer, Declined) else None
    return queried if isinstance(queried, Success) else convert_call_answer(answer)


def query_channel(call: Call) -> Outcome:
    """After a lost answer. A submission that has not happened is repeated with its key."""
    data = DisputeRespondData.read(call.data)
    port, ref = _get_port(data, call)
    answer = port.find_dispute(ref)
    if not isinstance(answer, Reported):
        return convert_query_answer(answer)
    return _convert_dispute(call, data, answer.value)


def _convert_dispute(call: Call, data: DisputeRespondData, dispute: ChannelDispute) -> Outcome:
    if data.kind == ResponseKind.ACCEPTANCE:
        is_done = dispute.state in (DisputeState.LOST, DisputeState.CLOSED)
    else:
        is_done = (dispute.submission_count or 0) > call.results[_READ]["submission_count"]
    if is_done:
        return Success({"state": dispute.state.value, "submission_count": dispute.submission_count})
    if dispute.state in _CLOSED:
        return Failure("dispute_closed", f"the channel has the dispute as {dispute.state}")
    return CallNotFound()


def record_response(context: Context) -> None:
    data = DisputeRespondData.read(context.data)
    state_machine.mark_response_submitted(response_id=data.response_id)


def _get_port(data: DisputeRespondData, call: Call) -> tuple[GuardedDisputes, DisputeRef]:
    channel = data.get_channel()
    port = channel.disputes
    assert port is not None, "a response is only started for a channel that takes it"
    return port, DisputeRef(channel.account, data.channel_dispute_no, call.timeout_seconds)


def _resolve(change: Callable[..., bool]) -> Callable[[Context], None]:
    def apply(context: Context) -> None:
        change(response_id=DisputeRespondData.read(context.data).response_id)

    return apply


_RESOLUTIONS = (
    Resolution(
        "watch", gettext_lazy("Not known: the response fails here, and the channel reports"), fail_response
    ),
    Resolution(
        "paid",
        gettext_lazy("Submitted: the channel has the response"),
        _resolve(state_machine.mark_response_submitted),
    ),
)

DISPUTE_RESPOND = register(
    Definition(
        name="dispute.respond",
        version=1,
        business_type="dispute",
        deadline_seconds=6 * 3600,
        steps=(
            Step("BeginResponse", begin_response, kind=LOCAL, compensate=fail_response),
            Step(_READ, read_dispute, kind=EXTERNAL),
            Step(_UPLOADS, upload_files, kind=EXTERNAL),
            Step("RespondAtChannel", respond_at_channel, kind=EXTERNAL, query=query_channel, pivot=True),
            Step("RecordResponse", record_response, kind=LOCAL),
        ),
        resolutions=_RESOLUTIONS,
    )
)


def start_dispute_response(*, dispute: Dispute, response: DisputeResponse, saga_id: uuid.UUID) -> SagaState:
    """Starts dispute.respond in the caller's transaction, which holds the dispute's lock."""
    payment = dispute.payment
    source = dispute.attempt or payment
    data = DisputeRespondData(
        dispute_id=dispute.id,
        response_id=response.id,
        kind=response.kind,
        channel=dispute.channel,
        channel_account=str(dispute.channel_account_id or ""),
        environment=dispute.environment,
        sandbox=source.sandbox,
        channel_dispute_no=dispute.channel_dispute_no,
        texts=response.texts,
    )
    return start_flow(
        DISPUTE_RESPOND,
        saga_id=saga_id,
        business_id=dispute.dispute_no,
        data=data,
        environment=dispute.environment,
        merchant_id=dispute.merchant_id,
    )
