"""Errors that the code of several channels raises."""


class UnexpectedFormat(Exception):
    """What the channel sent (an answer, a webhook, a statement) has not the format that the channel documents."""
