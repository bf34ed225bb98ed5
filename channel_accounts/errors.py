"""Errors of the API about channel accounts."""

from django.utils.translation import gettext_lazy as _

from common.errors import ApiError, Retry


class CredentialsNotChecked(ApiError):
    """The channel did not answer the check of the credentials. `details` has the channel and the reason."""

    status, code, error_code = 503, 50381, "credentials_not_checked"
    text = _(
        "The channel did not answer, so the credentials could not be checked. Repeat later, or save them unchecked."
    )
    retry = Retry.SAME
    advice = "Repeat after `Retry-After`, or send `save_unchecked: true` and check the account later."


class TooManyAccounts(ApiError):
    status, code, error_code = 409, 40983, "too_many_channel_accounts"
    text = _("There are too many accounts at this channel. Use the existing ones.")
    retry = Retry.NO
    advice = "Rotate the credentials of an existing account in place of adding one."


class AccountDisconnected(ApiError):
    status, code, error_code, is_final_answer = 409, 40984, "account_disconnected", True
    text = _("The owner has disconnected this account from the platform. Connect it again, then check it.")
    retry = Retry.NO
    advice = "Connect the account to the platform again, then call `check`, then `enable`."


class AccountManagedByPlatform(ApiError):
    """The account is connected to the platform's: the platform's keys act for it."""

    status, code, error_code = 403, 40383, "account_managed_by_platform"
    text = _("Only platform staff can change this account.")
    retry = Retry.NO
    advice = "Ask the platform's staff."
