"""What the pages on which something waits for a second person have in common."""

from django.http import HttpRequest
from django.utils.translation import gettext as _

from ops import verbs
from ops.approvals.models import Approval


def why_not_decide(request: HttpRequest, approval: Approval | None) -> str:
    if approval is None:
        return ""
    if approval.requested_by == request.user.get_username():
        return _("You asked for it yourself: somebody else must agree.")
    return "" if request.user.has_perm(verbs.APPROVE) else _("Your role may not approve.")
