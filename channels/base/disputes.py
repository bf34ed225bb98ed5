"""The part of the port for channels that take responses to disputes: `Channel.disputes`, None where they do not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from channels.base.accounts import ChannelAccount
from channels.base.results import DisputeResult, FileResult


@dataclass(frozen=True, slots=True)
class EvidenceRules:
    """The evidence that a channel takes. `text_fields` have their greatest length in characters. The files of one
    response together have at most `max_bytes` and `max_pages`."""

    text_fields: Mapping[str, int]
    file_fields: frozenset[str]
    content_types: frozenset[str]
    max_text_characters: int
    max_bytes: int
    max_pages: int

    @property
    def takes_responses(self) -> bool:
        return bool(self.text_fields or self.file_fields)


@dataclass(frozen=True, slots=True)
class DisputeRef:
    account: ChannelAccount
    channel_dispute_no: str
    timeout_seconds: float

    @property
    def environment(self) -> str:
        return self.account.environment


@dataclass(frozen=True, slots=True)
class UploadEvidence:
    """`key` is the idempotency key: a repetition makes no second file. A file alone is no response."""

    key: str
    dispute: DisputeRef
    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class SubmitEvidence:
    """Sends the response to the bank, for good. `files` are the channel's numbers of uploaded files, by field."""

    key: str
    dispute: DisputeRef
    texts: Mapping[str, str]
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class AcceptDispute:
    """Gives the dispute up: it is lost, for good."""

    key: str
    dispute: DisputeRef


class DisputePort(Protocol):
    rules: EvidenceRules

    def upload_evidence(self, request: UploadEvidence) -> FileResult: ...
    def submit_evidence(self, request: SubmitEvidence) -> DisputeResult: ...
    def accept_dispute(self, request: AcceptDispute) -> DisputeResult: ...
    def find_dispute(self, dispute: DisputeRef) -> DisputeResult: ...
