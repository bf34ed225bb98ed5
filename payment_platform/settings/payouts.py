"""Payouts to merchants."""

from payment_platform.settings.base import env

# Whether the platform may hold merchants' money, which a licence or the local law must allow. With 0, live payments
# need the merchant's own channel accounts, and there are no payouts: docs/PAYOUTS.md, "Platforms that may not hold
# money".
HOLDS_MERCHANT_FUNDS: bool = env.bool("HOLDS_MERCHANT_FUNDS", default=True)
# How long nothing is paid out to a new or changed bank account of a merchant.
PAYOUT_BANK_ACCOUNT_COOLING_HOURS: int = env.int("PAYOUT_BANK_ACCOUNT_COOLING_HOURS", default=72)
# The name of the platform's bank account from which merchants are paid.
PAYOUT_DEBTOR_NAME: str = env.str("PAYOUT_DEBTOR_NAME", default="")
# Its IBAN, without spaces. Without it, payouts in euros are exported as CSV.
PAYOUT_DEBTOR_IBAN: str = env.str("PAYOUT_DEBTOR_IBAN", default="")
# The BIC of its bank. May be empty.
PAYOUT_DEBTOR_BIC: str = env.str("PAYOUT_DEBTOR_BIC", default="")
# Days after which a payout without an answer of the bank is shown in the work queue. The alert PayoutOverdue does not
# follow it: it fires after five days.
PAYOUT_OVERDUE_DAYS: int = env.int("PAYOUT_OVERDUE_DAYS", default=5)
