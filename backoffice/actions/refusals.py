"""Refusals of services as texts for staff."""

from common.errors import ApiError, OperationRefused


def refusal_text(error: OperationRefused | ApiError) -> str:
    """The refusal for staff, with the fields that an API error names."""
    if isinstance(error, OperationRefused):
        return str(error)
    details = [
        f"{name}: {' '.join(map(str, texts)) if isinstance(texts, list) else texts}"
        for name, texts in error.details.items()
    ]
    return " ".join([str(error.text), *details])
