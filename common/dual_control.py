"""Dual control: the type of the rule that tells two people apart. The back office has the rule (ADR 23)."""

from collections.abc import Callable

# Takes the accounts of the approver and of the requester. Returns why the approver is not a second person; empty when
# they are two people.
FindConflict = Callable[[str, str], str]
