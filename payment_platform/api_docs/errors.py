"""Generates the error reference from the error classes."""

import inspect
from collections.abc import Iterator

from django.utils import translation
from django.utils.module_loading import autodiscover_modules

from common.errors import ApiError
from gateway.failure_codes import FAILURE_LABELS

INTRODUCTION = """\
# Errors

For programmers of merchants: every `error_code` of the API, what it means, and what a program does about it.
This page is made from the error classes by `manage.py write_api_docs`.

Every error has the same form. Decide by `error_code`, which never changes; `code` is the same as a number. `error` is
for people: Chinese, or English with `Accept-Language: en`. New codes may be added: treat one that you do not know by
its HTTP status. `request_id` finds the request in our logs.

```json
{"code": 40000, "error": "请求无效：各字段的问题见 details。", "error_code": "validation_failed",
 "details": {"amount": ["金额必须是最小货币单位的整数。"]}, "request_id": "req_5f0c…"}
```

| retry | a program may |
| --- | --- |
| no | not repeat the request: it gets the same answer |
| corrected | send a corrected request, with a new Idempotency-Key where the answer is kept |
| same request | repeat the same request with the same Idempotency-Key, after `Retry-After` seconds or growing pauses |

"Kept" says that the answer is final for its Idempotency-Key: a repeat gets it again. An error without a JSON body, or
no answer at all, comes from the network or a proxy: repeat the same request with the same Idempotency-Key.

| error_code | HTTP | code | meaning | what to do | retry | kept |
| --- | --- | --- | --- | --- | --- | --- |
"""


FAILURE_CODES = """
## Failure codes

`failure_code` of a payment, of its attempts and of a refund, and of `details` of a decline. `failure_message` is the
channel's own text. A code that is not listed is the channel's own, such as Stripe's decline codes.

| failure_code | meaning |
| --- | --- |
"""


def documented_errors() -> list[type[ApiError]]:
    """Every error that the API answers with, by HTTP status and number. Imports the `errors` of every app."""
    autodiscover_modules("errors")
    return sorted(_concrete(ApiError), key=lambda error: (error.status, error.code))


def error_codes() -> list[str]:
    return [error.error_code for error in documented_errors()]


def errors_page() -> str:
    """`docs/ERRORS.md`."""
    with translation.override("en"):
        errors = "".join(_line(error) for error in documented_errors())
        codes = "".join(f"| `{code}` | {label} |\n" for code, label in sorted(FAILURE_LABELS.items()))
        return INTRODUCTION + errors + FAILURE_CODES + codes


def _concrete(base: type[ApiError]) -> Iterator[type[ApiError]]:
    for error in base.__subclasses__():
        if "error_code" in vars(error):
            yield error
        yield from _concrete(error)


def _line(error: type[ApiError]) -> str:
    kept = "yes" if error.is_final_answer else ""
    cells = (
        f"`{error.error_code}`",
        error.status,
        error.code,
        _meaning(error),
        error.advice,
        error.retry.value,
        kept,
    )
    return f"| {' | '.join(map(str, cells))} |\n"


def _meaning(error: type[ApiError]) -> str:
    """The text of the answer, and the class's docstring."""
    text = str(error.text)
    more = " ".join(inspect.cleandoc(error.__doc__ or "").split()) if "__doc__" in vars(error) else ""
    return f"{text if text.endswith('.') else text + '.'} {more}".strip()
