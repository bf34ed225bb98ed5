"""Keys that are scheduled fairly before their requests are authenticated."""

from collections import OrderedDict

import pytest

from merchants import known_keys
from merchants.services import NewMerchant
from tests.support.signing import SignedClient


def test_only_keys_with_a_verified_signature_are_known(
    monkeypatch: pytest.MonkeyPatch, acme: NewMerchant, client: SignedClient
) -> None:
    """All made-up keys wait together, so a caller with a thousand of them gains nothing."""
    monkeypatch.setattr(known_keys, "_merchants", OrderedDict())
    forged = SignedClient(acme.test_key.key, "sk_test_guess")
    made_up = SignedClient("pk_test_made_up", "sk_test_guess")
    assert [each.get("/api/v1/merchant").status_code for each in (forged, made_up)] == [401, 401]
    assert known_keys.find_merchant(acme.test_key.key) is None
    assert client.get("/api/v1/merchant").status_code == 200
    assert known_keys.find_merchant(acme.test_key.key) == acme.merchant.id
    assert known_keys.find_merchant("pk_test_made_up") is None
    monkeypatch.setattr(known_keys, "MAX_KEYS", 1)
    known_keys.remember_key("pk_test_another", acme.merchant.id)
    assert known_keys.find_merchant(acme.test_key.key) is None, "the number of stored keys is limited"
