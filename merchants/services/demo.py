"""The demo merchant of the quick start, whose test key is the literal `test-api-key`."""

from django.db import transaction

from common.crypto import seal
from common.db import insert_unless_exists
from merchants import keys
from merchants.models import ApiKey, Environment, Merchant
from merchants.scopes import ALL_SCOPES
from merchants.services.api_keys import insert_key

DEMO_EMAIL = "demo@example.com"
DEMO_PUBLIC_ID = "demo"


@transaction.atomic
def seed_demo_merchant() -> Merchant:
    """Creates the demo merchant, or repairs its key if it was rotated, revoked or hashed with an old SECRET_KEY.

    The row alone gives no access: authentication accepts the literal key only while PAYMENT_DEMO is on, and
    nobody knows the secret that is sealed here.
    """
    is_new = insert_unless_exists(Merchant(name="Demo Merchant", email=DEMO_EMAIL))
    merchant = Merchant.objects.select_for_update(no_key=True).get(email=DEMO_EMAIL)
    ApiKey.objects.update_or_create(
        public_id=DEMO_PUBLIC_ID,
        create_defaults={
            "public_id": DEMO_PUBLIC_ID,
            "merchant": merchant,
            "environment": Environment.TEST,
            "key_hash": keys.hash_key(keys.DEMO_KEY),
            "sealed_secret": seal(keys.generate_key(Environment.TEST).secret),
            "hint": keys.DEMO_KEY,
            "label": "Quick start",
            "scopes": list(ALL_SCOPES),
        },
        defaults={
            "key_hash": keys.hash_key(keys.DEMO_KEY),
            "scopes": list(ALL_SCOPES),
            "allowed_ips": [],
            "expires_at": None,
            "revoked_at": None,
            "retires_at": None,
            "replaced_by": None,
        },
    )
    if is_new:
        insert_key(merchant_id=merchant.pk, environment=Environment.LIVE, scopes=ALL_SCOPES)
    return merchant
