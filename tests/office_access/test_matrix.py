"""Every URL of the back office and every action, for every role. A URL that is missing below fails this test: add the
roles that may see the new page."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.db.models import Model
from django.test import Client, RequestFactory
from django.urls import NoReverseMatch, reverse

from audit.models import StaffAction
from channels.registry import get_credential_fields, list_channel_names
from sagas.availability import Operation
from sagas.models import SagaInstance
from staff.groups import sync_groups
from staff.roles import ROLE_PERMISSIONS, Role
from tests.office_access.addresses import list_addresses
from tests.office_access.conftest import World, member, signed_in
from tests.support import shop
from tests.support.direct_calls import call_view, with_permissions
from tests.support.rows import leave_one_of_each
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

ROLES = {"V": "Viewer", "S": "Support", "F": "Finance", "O": "Operator", "A": "Admin"}
ALL = "VSFOA"

# The roles that see the lists and pages of a model. No role adds, changes or deletes a row by hand.
VIEW_PERMISSIONS = {
    "auth.Group": "A",
    "auth.User": "A",
    "approvals.Approval": "FOA",
    "events.OutboxEvent": ALL,
    "webhooks.WebhookAttempt": ALL,
    "webhooks.WebhookDelivery": ALL,
    "webhooks.WebhookEndpoint": ALL,
    "channel_accounts.StoredChannelAccount": ALL,
    "exports.Export": "FA",
    "fees.FeePlanAssignment": ALL,
    "fees.FeePlanChange": ALL,
    "fees.FeePlanVersion": ALL,
    "fees.MerchantStatement": ALL,
    "gateway.AuthorizationIncrement": ALL,
    "gateway.Capture": ALL,
    "gateway.ChannelEvent": ALL,
    "gateway.Dispute": ALL,
    "gateway.DisputeResponse": ALL,
    "gateway.EvidenceFile": ALL,
    "gateway.SuspenseItem": ALL,
    "gateway.Payment": ALL,
    "gateway.PaymentAttempt": ALL,
    "gateway.PaymentReview": ALL,
    "gateway.Refund": ALL,
    "gateway.RoutingRule": ALL,
    "idempotency.IdempotencyKey": "SOA",
    "ledger.DailyClose": ALL,
    "ledger.LedgerTransfer": ALL,
    "payouts.BankAccount": ALL,
    "payouts.Payout": ALL,
    "payouts.PayoutPlan": ALL,
    "payouts.PayoutRun": ALL,
    "merchants.ApiKey": "SOA",
    "merchants.Merchant": ALL,
    "merchants.RequestNonce": "OA",
    "monitoring.ConsistencyResult": ALL,
    "monitoring.ConsistencyRun": ALL,
    "audit.StaffAction": "A",
    "orders.Order": ALL,
    "orders.OrderItem": ALL,
    "reports.ReportRun": "FA",
    "reports.ReportSchedule": "FA",
    "sagas.SagaEvent": ALL,
    "sagas.SagaSignal": ALL,
    "sagas.SagaInstance": ALL,
    "sagas.SagaStep": ALL,
    "settlements.ChannelFeeRate": ALL,
    "settlements.SettlementCase": ALL,
    "settlements.SettlementDay": ALL,
    "settlements.StatementExpectation": ALL,
    "settlements.StatementFile": ALL,
    "settlements.StatementLine": ALL,
    "simulator.CallCount": "OA",
    "simulator.LedgerEntry": "OA",
    "simulator.Notification": "OA",
    "simulator.SimulatedDispute": "OA",
    "simulator.SimulatedEvidenceFile": "OA",
    "simulator.SimulatedPayment": "OA",
    "simulator.SimulatedRefund": "OA",
}
# Pages with an operation, by the name of their URL.
PAGES = {
    "admin_find": ALL,
    "admin_find_merchants": ALL,
    "admin_more": ALL,
    "work_queue": ALL,
    "index": ALL,
    "search": ALL,
    "password_change": ALL,
    "password_change_done": ALL,
    "jsi18n": ALL,
    "second_factor": ALL,
    "staff_profile": ALL,
    "staff_sessions": ALL,
    "staff_password_change": ALL,
    "auth_user_deactivate": "A",
    "auth_user_invite": "A",
    "auth_user_reactivate": "A",
    "auth_user_reset_second_factor": "A",
    "auth_user_roles": "A",
    "auth_user_send_link": "A",
    "auth_user_unlink_single_sign_on": "A",
    "channel_accounts_storedchannelaccount_change-connected": "A",
    "channel_accounts_storedchannelaccount_check": "A",
    "channel_accounts_storedchannelaccount_connect-stripe": "A",
    "channel_accounts_storedchannelaccount_disable": "A",
    "channel_accounts_storedchannelaccount_enable": "A",
    "channel_accounts_storedchannelaccount_fee": "A",
    "channel_accounts_storedchannelaccount_rotate": "A",
    "webhooks_webhookdelivery_resend": "SOA",
    "webhooks_webhookendpoint_test": "SOA",
    "exports_export_download": "FA",
    "exports_export_new": "FA",
    "fees_feeplanchange_approve": "FA",
    "fees_feeplanchange_assign": "FA",
    "fees_feeplanchange_reject": "FA",
    "fees_feeplanchange_version": "FA",
    "fees_merchantstatement_download": "FA",
    "merchants_apikey_revoke": "A",
    "merchants_apikey_rotate": "A",
    "merchants_merchant_create": "A",
    "merchants_merchant_reactivate": "A",
    "merchants_merchant_suspend": "A",
    "gateway_dispute_accept": "FA",
    "gateway_dispute_evidence": "FA",
    "gateway_dispute_evidence-file": "FA",
    "gateway_dispute_submit": "FA",
    "gateway_evidencefile_download": "FA",
    "gateway_payment_cancel": "SA",
    "gateway_payment_capture": "FA",
    "gateway_payment_give_back": "FA",
    "gateway_payment_charge_suspense": "FA",
    "gateway_payment_refund": "FA",
    "gateway_payment_resolve": "OA",
    "gateway_payment_sync": "SFOA",
    "payouts_bankaccount_approve": "FOA",
    "payouts_bankaccount_new": "FA",
    "payouts_bankaccount_reject": "FOA",
    "payouts_payout_failed": "FA",
    "payouts_payout_paid": "FA",
    "payouts_payout_returned": "FA",
    "payouts_payoutplan_set": "FA",
    "payouts_payoutrun_adopt": "FA",
    "payouts_payoutrun_approve": "FOA",
    "payouts_payoutrun_download": "FA",
    "payouts_payoutrun_new": "FA",
    "payouts_payoutrun_reject": "FA",
    "gateway_routingrule_end": "OA",
    "gateway_routingrule_new": "OA",
    "gateway_routingrule_try": ALL,
    "reports_reportrun_send_again": "FA",
    "reports_reportschedule_download": "FA",
    "reports_reportschedule_end": "FA",
    "reports_reportschedule_new": "FA",
    "reports_reportschedule_show": "FA",
    "sagas_sagainstance_operate": "OA",
    "settlements_channelfeerate_new": "FA",
    "settlements_settlementcase_approve-write-off": "FOA",
    "settlements_settlementcase_ask": "FA",
    "settlements_settlementcase_book": "FA",
    "settlements_settlementcase_dismiss": "FA",
    "settlements_settlementcase_take": "FA",
    "settlements_settlementcase_write-off": "FA",
    "settlements_statementfile_approve-void": "FOA",
    "settlements_statementfile_upload": "FA",
    "settlements_statementfile_void": "FA",
}
# One page for each channel that has accounts.
PAGES |= {
    f"channel_accounts_storedchannelaccount_add-{name}": "A"
    for name in list_channel_names()
    if get_credential_fields(name)
}
# Pages that need a permission for their model, which each role has.
PAGES_OF_A_MODEL = {"gateway_routingrule_try", "work_queue"}
# These pages are rendered for every role, because their parts depend on the permissions.
DIFFERENT_FOR_EACH_ROLE = {"index", "admin_more", "work_queue"}
RENDERED_IN_OTHER_TESTS = ("_changelist", "_history")
# The roles that have each permission for an operation.
OPERATION_PERMISSIONS = {
    "staff.answer_disputes": "FA",
    "staff.approve_operation": "FOA",
    "staff.cancel_payment": "SA",
    "staff.capture_payment": "FA",
    "staff.export_rows": "FA",
    "staff.handle_work_items": "SFOA",
    "staff.manage_channel_accounts": "A",
    "staff.manage_keys": "A",
    "staff.manage_fees": "FA",
    "staff.manage_merchants": "A",
    "staff.manage_payouts": "FA",
    "staff.manage_routing": "OA",
    "staff.settle_statements": "FA",
    "staff.manage_staff": "A",
    "staff.refund_payment": "FA",
    "staff.resolve_saga": "OA",
    "staff.sync_payment": "SFOA",
    "staff.resend_webhook": "SOA",
    "staff.test_endpoint": "SOA",
    "sagas.operate_sagainstance": "OA",
}
# URLs that redirect, or need parameters that only another page has.
EXEMPT_URLS = {None, "app_list", "autocomplete", "login", "logout", "view_on_site"}
# A search that redirects to its result, and decisions, which need a pending approval.
EXEMPT_URLS |= {"approvals_approval_decide", "gateway_payment_decide", "sagas_sagainstance_decide"}
# Forms of a list: each asks for the permission to view that list (tests/office/test_list_tools.py).
EXEMPT_URLS |= {"staff_list_columns", "staff_list_views", "staff_list_view"}
# The switch between test and live, which each person has.
EXEMPT_URLS |= {"staff_environment"}
# The forms of one's own second factor, and the link of an invitation.
EXEMPT_URLS |= {"second_factor_begin", "second_factor_confirm", "second_factor_codes", "staff_invitation"}
# The forms of one's own passkeys, and the sign-in with one.
EXEMPT_URLS |= {"passkey_add", "passkey_confirm", "passkey_rename", "passkey_remove"}
EXEMPT_URLS |= {"passkey_sign_in", "passkey_sign_in_confirm"}
# The page before a sensitive action (tests/office_access/test_step_up.py).
EXEMPT_URLS |= {"step_up"}
# Sessions of another person and the forms to end sessions (tests/office_access/test_sessions.py).
EXEMPT_URLS |= {"staff_sessions_of", "staff_sessions_end", "staff_sessions_of_end"}
# Redirects to the provider of single sign-on and back, and sign-out.
EXEMPT_URLS |= {"single_sign_on", "single_sign_on_callback", "single_sign_on_link", "staff_sign_out"}
ACTIONS = {
    f"sagas.SagaInstance {operation.value}": "OA" for operation in Operation if operation != "skip_step"
}


def get_allowed_roles(name: str | None, model: type[Model] | None) -> str | None:
    if name in PAGES:
        return PAGES[name]
    label = model._meta.label if model else ""
    kind = (name or "").rpartition("_")[2]
    if label in VIEW_PERMISSIONS and kind in ("changelist", "change", "history", "json"):
        return VIEW_PERMISSIONS[label]
    return "" if kind in ("add", "delete") and label in VIEW_PERMISSIONS else None


@pytest.fixture
def rows(world: World, client: SignedClient) -> None:
    """At least one row of every model."""
    shop.data(shop.create(client, "slow_start:0.1", key="a-key"))
    leave_one_of_each()


def address_of(name: str, model: type[Model] | None) -> str:
    if name == "sagas_sagainstance_operate":
        return reverse(f"admin:{name}", args=["retry_now"]) + f"?id={SagaInstance.objects.first().pk}"
    for known in (f"admin:{name}", name):
        with suppress(NoReverseMatch):
            return reverse(known)
    assert model is not None
    row = model._default_manager.first()
    assert row is not None, f"the test leaves {model} empty"
    return reverse(f"admin:{name}", args=[quote(row.pk)])


def has_view_permission(person: User, model: type[Model] | None) -> bool:
    assert model is not None
    request = RequestFactory().get("/")
    request.user = person
    return admin.site._registry[model].has_view_permission(request)


def test_every_url_has_its_roles_and_none_is_stale() -> None:
    found = {(each.name, each.model) for each in list_addresses() if each.name not in EXEMPT_URLS}
    assert [name for name, model in found if get_allowed_roles(name, model) is None] == []
    assert set(PAGES) - {name for name, _model in found} == set()
    assert set(VIEW_PERMISSIONS) - {model._meta.label for _name, model in found if model} == set()


def test_every_page_for_every_role(rows: None, subtests: pytest.Subtests) -> None:
    """Each page is rendered for one role, through every middleware; for the others, its view is called directly. Lists
    are rendered in tests/ops/test_admin_pages.py, and all histories use one template."""
    people = {letter: with_permissions(member(role.lower(), role)) for letter, role in ROLES.items()}
    browsers = {letter: signed_in(person) for letter, person in people.items()}
    without_role = with_permissions(member("nobody"))
    found = {(each.name, each.model) for each in list_addresses() if each.name not in EXEMPT_URLS}
    for name, model in sorted(found, key=str):
        assert name is not None
        allowed, address = get_allowed_roles(name, model) or "", address_of(name, model)
        with subtests.test(name):
            for letter, person in people.items():
                expected = 200 if letter in allowed else 403
                is_drawn = letter == allowed[:1] and not name.endswith(RENDERED_IN_OTHER_TESTS)
                if is_drawn or name in DIFFERENT_FOR_EACH_ROLE:
                    assert browsers[letter].get(address).status_code == expected, letter
                elif letter in allowed[1:] and name not in PAGES:
                    assert has_view_permission(person, model), letter  # reading the rows again is slow
                else:
                    assert call_view(address, person).status_code == expected, letter
            refused = call_view(address, AnonymousUser())
            assert "/login/" in refused.headers.get("Location", "") or name == "jsi18n"
            is_for_everybody = allowed == ALL and name in PAGES and name not in PAGES_OF_A_MODEL
            assert call_view(address, without_role).status_code == (200 if is_for_everybody else 403)


def test_a_refused_person_sees_the_page_of_refusals(as_: Callable[[str], Client]) -> None:
    address = reverse("admin:auth_user_changelist")
    assert as_("Viewer").get(address).status_code == 403
    assert "/login/" in Client().get(address)["Location"]


def test_every_action_for_every_role(transactional_db: None) -> None:
    request = RequestFactory().get("/")
    offered: dict[str, str] = {}
    for letter, role in ROLES.items():
        request.user = member(role.lower(), role)
        for model, model_admin in admin.site._registry.items():
            for action in model_admin.get_actions(request):
                label = f"{model._meta.label} {action}"
                offered[label] = offered.get(label, "") + letter
    assert offered == ACTIONS


def test_a_post_needs_the_same_permission_as_the_page(rows: None) -> None:
    """A form that the role does not see is refused when posted, too."""
    viewer = with_permissions(member("viewer", "Viewer"))
    audit_before = StaffAction.objects.count()
    for name, model in {(each.name, each.model) for each in list_addresses()}:
        if name in PAGES and PAGES[name] != ALL:
            form = {"reason": "x", "overlap_hours": "0"}
            assert call_view(address_of(name, model), viewer, form=form).status_code == 403, name
    assert StaffAction.objects.count() == audit_before


def test_every_permission_for_every_role(transactional_db: None) -> None:
    """Only view permissions and operations: no role adds, changes or deletes."""
    people = {letter: member(role.lower(), role) for letter, role in ROLES.items()}
    looking = {
        f"{label.split('.')[0]}.view_{label.split('.')[1].lower()}": who
        for label, who in VIEW_PERMISSIONS.items()
    }
    given: dict[str, str] = {}
    for letter, person in people.items():
        for permission in person.get_all_permissions():
            given[permission] = given.get(permission, "") + letter
    assert given == {**looking, **OPERATION_PERMISSIONS}


def test_groups_equal_the_roles(transactional_db: None) -> None:
    for role, wanted in ROLE_PERMISSIONS.items():
        found = {
            f"{permission.content_type.app_label}.{permission.codename}"
            for permission in Group.objects.get(name=role).permissions.select_related("content_type")
        }
        assert found == {str(name) for name in wanted}, role
    assert set(ROLES.values()) == set(Role)


def test_groups_are_restored_after_a_change(transactional_db: None) -> None:
    support = Group.objects.get(name="Support")
    too_much = Permission.objects.get(codename="refund_payment")
    missing = Permission.objects.get(codename="sync_payment")
    support.permissions.add(too_much)
    support.permissions.remove(missing)
    sync_groups()
    names = set(support.permissions.values_list("codename", flat=True))
    assert "refund_payment" not in names
    assert "sync_payment" in names
    Group.objects.all().delete()
    sync_groups()
    assert Group.objects.count() == len(Role)
