"""Errors that the code of several channels raises."""


class UnexpectedFormat(Exception):
    """An answer, webhook or statement does not have the format that the channel documents."""
