"""OpenAPI links: which value of an answer names the object of a further request.

Tools follow them: documentation shows what can be done with a new payment, and tests make sequences of requests from
them. Every operation whose path has a parameter below is a target, so that a new operation needs no entry.
"""

import re
from typing import Any

Document = dict[str, Any]

# For each parameter of a path: the operations whose answer has its value, and the name of that value in `data`.
_SOURCES: dict[str, dict[str, str]] = {
    "payment_no": {"payments_create": "payment_no"},
    "channel_trade_no": {"payments_create": "channel_trade_no"},
    "order_no": {"orders_create": "order_no", "payments_create": "order_no"},
    "refund_no": {"refunds_create": "refund_no"},
    "dispute_no": {"disputes_list": "items/0/dispute_no"},
    "payout_no": {"payouts_list": "items/0/payout_no"},
    "statement_id": {"statements_list": "items/0/id"},
    "account_id": {"channel_accounts_create": "id"},
    "key_id": {"api_keys_create": "id"},
    "endpoint_id": {"webhook_endpoints_create": "id"},
    "delivery_id": {"webhook_endpoints_test": "id"},
    "event_id": {"webhook_endpoints_test": "event_id"},
}
# Requests whose body names the object.
_IN_BODIES = {("payments_create", "refunds_create"): "payment_no"}
_PARAMETER = re.compile(r"{(\w+)}")


def add_links(document: Document) -> None:
    """Adds a link to the successful answers of each source, for each operation that takes its value."""
    operations = {
        operation["operationId"]: (path, operation)
        for path, methods in document["paths"].items()
        for operation in methods.values()
    }
    for target, (path, _operation) in operations.items():
        for parameter in _PARAMETER.findall(path):
            for source, place in _SOURCES[parameter].items():
                link = {"operationId": target, "parameters": {parameter: _expression(place)}}
                _add(operations[source][1], f"{target}_by_{parameter}", link)
    for (source, target), name in _IN_BODIES.items():
        link = {"operationId": target, "requestBody": {name: _expression(name)}}
        _add(operations[source][1], target, link)


def _expression(place: str) -> str:
    return f"$response.body#/data/{place}"


def _add(source: Document, name: str, link: Document) -> None:
    for status in ("200", "202"):
        if status in source["responses"]:
            source["responses"][status].setdefault("links", {})[name] = link
