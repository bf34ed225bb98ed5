"""Types of staff actions and of their objects: the stored code, which exports show, and its label."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class StaffActionType(models.TextChoices):
    REFUND = "refund.create", _("Refund")
    PAYMENT_SYNC = "payment.sync", _("Sync with the channel")
    PAYMENT_CAPTURE = "payment.capture", _("Capture")
    PAYMENT_CANCEL = "payment.cancel", _("Cancel payment")
    PAYMENT_GIVE_BACK = "payment.give_back", _("Refund late payment")
    PAYMENT_RESOLVE = "payment.resolve", _("Mark the payment resolved")
    SAGA_RETRY_NOW = "saga.retry_now", _("Retry now")
    SAGA_ASK_CHANNEL = "saga.ask_channel", _("Query the channel")
    SAGA_SKIP_STEP = "saga.skip_step", _("Skip the step")
    SAGA_COMPENSATE = "saga.compensate", _("Compensate")
    SAGA_MARK_RESOLVED = "saga.mark_resolved", _("Mark resolved")
    SAGA_CANCEL = "saga.cancel", _("Cancel the saga")
    APPROVAL_REQUEST = "approval.request", _("Request approval")
    APPROVAL_APPROVE = "approval.approve", _("Approve")
    APPROVAL_REJECT = "approval.reject", _("Reject")
    MERCHANT_CREATE = "merchant.create", _("Create a merchant")
    MERCHANT_SUSPEND = "merchant.suspend", _("Suspend the merchant")
    MERCHANT_REACTIVATE = "merchant.reactivate", _("Reactivate the merchant")
    KEY_ROTATE = "api_key.rotate", _("Rotate the key")
    KEY_REVOKE = "api_key.revoke", _("Revoke the key")
    KEY_VIEWED = "api_key.viewed", _("View the key")
    ENDPOINT_TEST = "webhook_endpoint.test", _("Send test webhook")
    ROUTING_ADD = "routing_rule.add", _("Add a routing rule")
    ROUTING_END = "routing_rule.end", _("End the routing rule")
    EXPORT_REQUESTED = "export.requested", _("Request an export")
    EXPORT_DOWNLOADED = "export.downloaded", _("Download the export")
    STAFF_INVITED = "staff.invited", _("Invite a colleague")
    STAFF_LINK_SENT = "staff.link_sent", _("Create new link")
    STAFF_PASSWORD_SET = "staff.password_set", _("Set own password")
    STAFF_ROLES_SET = "staff.roles_set", _("Set roles")
    STAFF_DEACTIVATED = "staff.deactivated", _("Deactivate the account")
    STAFF_REACTIVATED = "staff.reactivated", _("Reactivate the account")
    FACTOR_ENROLLED = "second_factor.enrolled", _("Enrol a second factor")
    FACTOR_CODES_RENEWED = "second_factor.codes_renewed", _("Renew recovery codes")
    FACTOR_RESET = "second_factor.reset", _("Reset the second factor")


class ObjectType(models.TextChoices):
    API_KEY = "api_key", _("API key")
    EXPORT = "export", _("Export")
    MERCHANT = "merchant", _("Merchant")
    PAYMENT = "payment", _("Payment")
    ROUTING_RULE = "routing_rule", _("Routing rule")
    SAGA = "saga", _("Saga")
    STAFF = "staff", _("Staff")
    ENDPOINT = "webhook_endpoint", _("Webhook endpoint")
