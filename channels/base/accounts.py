"""Accounts at channels, and their credentials."""

import enum
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

# Environments.
TEST, LIVE = "test", "live"
# The label of the platform's own account.
PLATFORM = "platform"


class AccountKind(enum.StrEnum):
    OWN = "own"  # acts with keys of its own
    CONNECTED = "connected"  # the platform's own keys act for it; only staff add and change it


@dataclass(frozen=True, slots=True)
class ChannelAccount:
    """The account at a channel that takes the money, with the credentials to act for it.

    `id` is that of the row in `channel_accounts`; None is the platform's own account, whose credentials are settings.
    The names of the credentials are those of `Channel.credential_fields`. `previous_credentials` are still accepted
    for incoming webhooks while credentials are being rotated.
    """

    environment: str
    id: uuid.UUID | None = None
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    previous_credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    # The address to which the channel sends the webhooks of this account.
    webhook_url: str = field(default="", repr=False)

    @property
    def label(self) -> str:
        """Names the account in metrics, breaker keys and logs."""
        return str(self.id) if self.id else PLATFORM


@dataclass(frozen=True, slots=True)
class CredentialField:
    """One credential of an account. A secret one is never shown again after it was saved.

    `names_account`: it is the channel's own number of the account, which is not secret. `kind`: the kind of account
    that consists of it.
    """

    name: str
    label: str
    is_secret: bool = True
    is_multiline: bool = False  # a key in PEM
    is_required: bool = True
    help_text: str = ""
    names_account: bool = False
    kind: AccountKind = AccountKind.OWN


@dataclass(frozen=True, slots=True)
class CredentialsAccepted:
    """The channel accepts the credentials. `details` names the account as the channel knows it."""

    details: str = ""


@dataclass(frozen=True, slots=True)
class CredentialsRefused:
    """The channel, or a check without a call, refuses the credentials. `field` is the wrong one, if known."""

    message: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class CredentialsUnchecked:
    """The channel did not answer: nothing is known about the credentials."""

    reason: str


CredentialCheck = CredentialsAccepted | CredentialsRefused | CredentialsUnchecked
