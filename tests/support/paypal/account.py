"""The account of one merchant at PayPal: orders, authorizations, captures, refunds, and the events about them.

The rules come from the Orders v2 and Payments v2 reference (developer.paypal.com/docs/api/orders/v2,
developer.paypal.com/docs/api/payments/v2) and their lists of errors.
"""

import datetime as dt
import secrets
from copy import deepcopy
from decimal import Decimal

from tests.support.paypal.disputes import close_refunded_disputes
from tests.support.paypal.messages import not_found, refuse
from tests.support.paypal.specification import JsonObject
from tests.support.paypal.values import build_link, format_time, read_amount, require_amount

HOST = "https://api-m.sandbox.paypal.com"
CHECKOUT = "https://www.sandbox.paypal.com/checkoutnow?token="
# The field `links` of the order: 6 hours until the payer is redirected, and 6 hours to approve and capture.
LIFETIME = dt.timedelta(hours=6)
# "An authorized payment expires 29 days after it was made" (developer.paypal.com/docs/api/payments/v2).
AUTHORIZATION_LIFETIME = dt.timedelta(days=29)


class PayPalAccount:
    # Until when the merchant answers a dispute.
    RESPONSE_TIME = dt.timedelta(days=10)

    def __init__(self) -> None:
        self.ahead = dt.timedelta()
        self.orders: dict[str, JsonObject] = {}
        # By id; each knows its order by `order_of`.
        self.authorizations: dict[str, JsonObject] = {}
        self.captures: dict[str, JsonObject] = {}
        self.refunds: dict[str, JsonObject] = {}
        self.disputes: dict[str, JsonObject] = {}
        self.dispute_taken: dict[str, Decimal] = {}  # what lost disputes took, by their id
        self.order_of: dict[str, str] = {}
        self.capture_of: dict[str, str] = {}
        self.approved_at: dict[str, dt.datetime] = {}
        self.created_at: dict[str, dt.datetime] = {}
        self.events: list[tuple[str, str, JsonObject]] = []  # type, resource type, resource
        # The status and reason of the next captures, and the status of the next refunds.
        self.capture_status: tuple[str, str] = ("COMPLETED", "")
        self.refund_status = "COMPLETED"
        self.declines_instrument = False

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC) + self.ahead

    # --- Orders ---------------------------------------------------------------------------------------------------

    def create_order(self, request: JsonObject) -> JsonObject:
        unit = deepcopy(request["purchase_units"][0])
        require_amount(unit["amount"])
        order_id, now = self._new_id(), format_time(self.now())
        has_source = "payment_source" in request
        relation = "payer-action" if has_source else "approve"
        order: JsonObject = {
            "id": order_id,
            "intent": request["intent"],
            "status": "PAYER_ACTION_REQUIRED" if has_source else "CREATED",
            "purchase_units": [{"reference_id": "default", **unit}],
            "create_time": now,
            "links": [
                build_link(f"{HOST}/v2/checkout/orders/{order_id}", "self"),
                build_link(CHECKOUT + order_id, relation),
            ],
        }
        if has_source:
            order["payment_source"] = {"paypal": {}}
        self.orders[order_id] = order
        return order

    def get_order(self, order_id: str) -> JsonObject:
        """An order that nobody completed is gone when its time is over."""
        order = self.orders.get(order_id)
        if order is None or (order["status"] != "COMPLETED" and self.now() > self._get_end(order_id)):
            raise not_found()
        return order

    def _get_end(self, order_id: str) -> dt.datetime:
        return self.approved_at.get(order_id, self.created_at[order_id]) + LIFETIME

    def is_waiting_for_payer(self, order_id: str) -> bool:
        order = self.orders.get(order_id)
        is_open = order is not None and order["status"] in ("CREATED", "PAYER_ACTION_REQUIRED")
        return is_open and self.now() <= self._get_end(order_id)

    def approve(self, order_id: str) -> None:
        """The payer agrees on PayPal's page."""
        order = self.get_order(order_id)
        assert order["status"] in ("CREATED", "PAYER_ACTION_REQUIRED"), order["status"]
        order["status"] = "APPROVED"
        order["payment_source"] = {"paypal": {"account_id": "QYR5Z8XDVJNXQ", "account_status": "VERIFIED"}}
        order["links"] = [
            build_link(f"{HOST}/v2/checkout/orders/{order_id}", "self"),
            build_link(
                f"{HOST}/v2/checkout/orders/{order_id}/{order['intent'].lower()}",
                order["intent"].lower(),
                "POST",
            ),
        ]
        self.approved_at[order_id] = self.now()
        self.add_event("CHECKOUT.ORDER.APPROVED", "checkout-order", order)

    def capture_order(self, order_id: str) -> JsonObject:
        order = self._require_approved(order_id, "CAPTURE", "ORDER_ALREADY_CAPTURED")
        unit = order["purchase_units"][0]
        self._require_new_invoice(unit)
        order["status"] = "COMPLETED"
        up = build_link(f"{HOST}/v2/checkout/orders/{order_id}", "up")
        self._add_capture(order, unit["amount"], up, is_final=True)
        self.add_event("CHECKOUT.ORDER.COMPLETED", "checkout-order", order)
        return order

    def authorize_order(self, order_id: str) -> JsonObject:
        order = self._require_approved(order_id, "AUTHORIZE", "ORDER_ALREADY_AUTHORIZED")
        unit = order["purchase_units"][0]
        self._require_new_invoice(unit)
        order["status"] = "COMPLETED"
        now = self.now()
        authorization = self._new_object(
            "authorizations", order, amount=read_amount(unit["amount"]), status="CREATED"
        )
        authorization["expiration_time"] = format_time(now + AUTHORIZATION_LIFETIME)
        authorization["links"].append(build_link(f"{HOST}/v2/checkout/orders/{order_id}", "up"))
        self.authorizations[authorization["id"]] = authorization
        self.add_event("PAYMENT.AUTHORIZATION.CREATED", "authorization", self.with_related_ids(authorization))
        return order

    def _require_approved(self, order_id: str, intent: str, done: str) -> JsonObject:
        order = self.get_order(order_id)
        if order["intent"] != intent:
            raise refuse("ACTION_DOES_NOT_MATCH_INTENT")
        if order["status"] == "COMPLETED":
            raise refuse(done)
        if order["status"] != "APPROVED":
            raise refuse("ORDER_NOT_APPROVED", "Payer has not yet approved the Order for payment.")
        if self.declines_instrument:
            # developer.paypal.com/docs/checkout/standard/customize/handle-funding-failures
            raise refuse("INSTRUMENT_DECLINED", links=[build_link(f"{CHECKOUT}{order_id}", "redirect")])
        return order

    def _require_new_invoice(self, unit: JsonObject) -> None:
        """The account's setting "block accidental payments", which is on at first."""
        used = [each.get("invoice_id") for each in (*self.captures.values(), *self.authorizations.values())]
        if unit.get("invoice_id") and unit["invoice_id"] in used:
            raise refuse("DUPLICATE_INVOICE_ID")

    # --- Authorizations and captures ---------------------------------------------------------------------------------

    def capture_authorization(self, authorization_id: str, request: JsonObject) -> JsonObject:
        authorization = self._get(self.authorizations, authorization_id)
        if authorization["status"] == "VOIDED":
            raise refuse("AUTHORIZATION_VOIDED")
        if authorization["status"] == "CAPTURED":
            raise refuse("AUTHORIZATION_ALREADY_CAPTURED")
        amount = request.get("amount") or authorization["amount"]
        require_amount(amount)
        is_final = request.get("final_capture", False)
        order = self.orders[self.order_of[authorization_id]]
        captured = sum(
            Decimal(each["amount"]["value"])
            for each in read_payments(order).get("captures", [])
            if each["status"] not in ("DECLINED", "FAILED")
        )
        # The default overage limit is 115 % of the authorization, at most 75 USD more.
        if captured + Decimal(amount["value"]) > Decimal(authorization["amount"]["value"]) * Decimal("1.15"):
            raise refuse("MAX_CAPTURE_AMOUNT_EXCEEDED")
        up = build_link(f"{HOST}/v2/payments/authorizations/{authorization_id}", "up")
        capture = self._add_capture(order, amount, up, is_final=is_final)
        is_whole = captured + Decimal(amount["value"]) >= Decimal(authorization["amount"]["value"])
        if capture["status"] not in ("DECLINED", "FAILED"):  # "no captured payments have been made"
            authorization["status"] = "CAPTURED" if is_final or is_whole else "PARTIALLY_CAPTURED"
        return self.with_related_ids(capture)

    def void(self, authorization_id: str) -> JsonObject:
        authorization = self._get(self.authorizations, authorization_id)
        if authorization["status"] == "VOIDED":
            raise refuse("PREVIOUSLY_VOIDED")
        if authorization["status"] == "CAPTURED":
            raise refuse("PREVIOUSLY_CAPTURED")
        authorization["status"] = "VOIDED"
        resource = self.with_related_ids(authorization)
        self.add_event("PAYMENT.AUTHORIZATION.VOIDED", "authorization", resource)
        return resource

    def _add_capture(
        self, order: JsonObject, amount: JsonObject, up: JsonObject, *, is_final: bool
    ) -> JsonObject:
        status, reason = self.capture_status
        capture = self._new_object("captures", order, amount=read_amount(amount), status=status)
        if reason:
            capture["status_details"] = {"reason": reason}
        capture["final_capture"] = is_final
        capture["links"] += [build_link(f"{capture['links'][0]['href']}/refund", "refund", "POST"), up]
        self.captures[capture["id"]] = capture
        self._report_capture(capture)
        return capture

    def _report_capture(self, capture: JsonObject) -> None:
        name = {"FAILED": "DECLINED"}.get(capture["status"], capture["status"])
        self.add_event(f"PAYMENT.CAPTURE.{name}", "capture", self.with_related_ids(capture))

    def settle_capture(self, capture_id: str, status: str) -> None:
        """What was pending is decided, often days later."""
        capture = self.captures[capture_id]
        assert capture["status"] == "PENDING"
        capture["status"] = status
        capture.pop("status_details", None)
        self._report_capture(capture)

    # --- Refunds ---------------------------------------------------------------------------------------------------

    def refund(self, capture_id: str, request: JsonObject) -> JsonObject:
        capture = self._get(self.captures, capture_id)
        if capture["status"] == "PENDING":
            raise refuse("PENDING_CAPTURE")
        left = self.get_refundable(capture_id)
        currency = capture["amount"]["currency_code"]
        amount = request.get("amount") or {"currency_code": currency, "value": str(left)}
        require_amount(amount)
        if capture["status"] == "REFUNDED":
            raise refuse("CAPTURE_FULLY_REFUNDED")
        if capture["status"] not in ("COMPLETED", "PARTIALLY_REFUNDED"):
            raise refuse("REFUND_NOT_ALLOWED")
        if amount["currency_code"] != currency:
            raise refuse("REFUND_CAPTURE_CURRENCY_MISMATCH")
        if Decimal(amount["value"]) > left:
            raise refuse("REFUND_AMOUNT_EXCEEDED")
        used = [each.get("invoice_id") for each in self.refunds.values()]
        if request.get("invoice_id") in used and request.get("invoice_id"):
            raise refuse("DUPLICATE_INVOICE_ID")
        order = self.orders[self.order_of[capture_id]]
        refund = self._new_object("refunds", order, amount=read_amount(amount), status=self.refund_status)
        for name in ("invoice_id", "custom_id", "note_to_payer"):
            refund.pop(name, None)
            if name in request:
                refund[name] = request[name]
        refund["links"].append(build_link(f"{HOST}/v2/payments/captures/{capture_id}", "up"))
        self.refunds[refund["id"]] = refund
        self.capture_of[refund["id"]] = capture_id
        self._update_refunded(capture)
        pending = refund["status"] == "PENDING"
        self.add_event("PAYMENT.REFUND.PENDING" if pending else "PAYMENT.CAPTURE.REFUNDED", "refund", refund)
        close_refunded_disputes(self, capture_id)
        return refund

    def settle_refund(self, refund_id: str, status: str) -> None:
        refund = self.refunds[refund_id]
        assert refund["status"] == "PENDING"
        refund["status"] = status
        self._update_refunded(self.captures[self.capture_of[refund_id]])
        name = "PAYMENT.CAPTURE.REFUNDED" if status == "COMPLETED" else "PAYMENT.REFUND.FAILED"
        self.add_event(name, "refund", refund)

    def get_refundable(self, capture_id: str) -> Decimal:
        """What neither refunds nor lost disputes have given back."""
        taken = sum(
            (
                self.dispute_taken.get(number, Decimal(0))
                for number, dispute in self.disputes.items()
                if dispute["disputed_transactions"][0]["seller_transaction_id"] == capture_id
            ),
            Decimal(0),
        )
        return Decimal(self.captures[capture_id]["amount"]["value"]) - self.sum_refunds(capture_id) - taken

    def sum_refunds(self, capture_id: str) -> Decimal:
        """What was refunded of a capture, or is being refunded."""
        return sum(
            (
                Decimal(each["amount"]["value"])
                for each in self.refunds.values()
                if self.capture_of.get(each["id"]) == capture_id
                and each["status"] in ("COMPLETED", "PENDING")
            ),
            Decimal(0),
        )

    def _update_refunded(self, capture: JsonObject) -> None:
        refunded, whole = self.sum_refunds(capture["id"]), Decimal(capture["amount"]["value"])
        names = {0: "COMPLETED", 1: "PARTIALLY_REFUNDED", 2: "REFUNDED"}
        capture["status"] = names[(refunded > 0) + (refunded >= whole)]

    # --- Objects and events ------------------------------------------------------------------------------------------

    def with_related_ids(self, resource: JsonObject) -> JsonObject:
        """Captures and authorizations name their order where they stand alone, and not inside the order."""
        order_id = self.order_of[resource["id"]]
        return {**resource, "supplementary_data": {"related_ids": {"order_id": order_id}}}

    def get_capture(self, capture_id: str) -> JsonObject:
        return self.with_related_ids(self._get(self.captures, capture_id))

    def get_authorization(self, authorization_id: str) -> JsonObject:
        return self.with_related_ids(self._get(self.authorizations, authorization_id))

    def get_refund(self, refund_id: str) -> JsonObject:
        return self._get(self.refunds, refund_id)

    def add_event(self, event_type: str, resource_type: str, resource: JsonObject) -> None:
        """Events hold the resource as it is now."""
        self.events.append((event_type, resource_type, deepcopy(resource)))

    def _new_object(self, kind: str, order: JsonObject, *, amount: JsonObject, status: str) -> JsonObject:
        """Adds an authorization, capture or refund to its order, whose numbers it inherits."""
        object_id, now = self._new_id(), format_time(self.now())
        unit = order["purchase_units"][0]
        created: JsonObject = {
            "id": object_id,
            "status": status,
            "amount": amount,
            **{name: unit[name] for name in ("invoice_id", "custom_id") if name in unit},
            "links": [build_link(f"{HOST}/v2/payments/{kind}/{object_id}", "self")],
            "create_time": now,
            "update_time": now,
        }
        unit.setdefault("payments", {}).setdefault(kind, []).append(created)
        self.order_of[object_id] = order["id"]
        return created

    def _new_id(self) -> str:
        object_id = "".join(secrets.choice("0123456789ABCDEFGHJKLMNPRSTUVWXY") for _ in range(17))
        self.created_at[object_id] = self.now()
        return object_id

    def _get(self, objects: dict[str, JsonObject], object_id: str) -> JsonObject:
        if object_id not in objects:
            raise not_found()
        return objects[object_id]


def read_payments(order: JsonObject) -> JsonObject:
    payments: JsonObject = order["purchase_units"][0].get("payments", {})
    return payments
