"""Lists of API keys."""

import uuid

import pytest

from merchants import serializers
from merchants.models import ApiKey
from tests.merchants.conftest import data, error

PATH = "/api/v1/merchant"
KEYS = "/api/v1/merchant/api-keys"


class TestBoundaries:
    """Keys of another merchant and of the other environment are not found."""

    @pytest.mark.parametrize("action", ["rotate", "revoke"])
    def test_keys_of_others_are_not_found(self, client, live_client, other_client, acme, action):
        test_id, live_id = acme.test_key.api_key.pk, acme.live_key.api_key.pk
        assert error(other_client.post(f"{KEYS}/{test_id}/{action}")) == (404, "not_found")
        assert error(client.post(f"{KEYS}/{live_id}/{action}")) == (404, "not_found")
        assert error(live_client.post(f"{KEYS}/{test_id}/{action}")) == (404, "not_found")
        assert error(client.post(f"{KEYS}/{uuid.uuid4()}/{action}")) == (404, "not_found")
        assert client.post(f"{KEYS}/not-an-id/{action}").status_code == 404
        assert (
            not ApiKey.objects.filter(merchant=acme.merchant)
            .exclude(revoked_at=None, retires_at=None)
            .exists()
        )

    def test_lists_hold_only_own_keys(self, client, live_client, acme):
        assert [key["id"] for key in data(client.get(KEYS))["items"]] == [str(acme.test_key.api_key.pk)]
        assert [key["id"] for key in data(live_client.get(KEYS))["items"]] == [str(acme.live_key.api_key.pk)]


def test_keys_are_listed_in_pages(client, acme):
    made = [str(acme.test_key.api_key.pk)] + [data(client.post(KEYS, {}))["id"] for _ in range(4)]
    address, seen = f"{KEYS}?limit=2", []
    page = data(client.get(address))
    while page["next_cursor"]:
        seen.append([key["id"] for key in page["items"]])
        page = data(client.get(f"{address}&cursor={page['next_cursor']}"))
    seen.append([key["id"] for key in page["items"]])
    assert seen == [made[:2:-1], made[2:0:-1], made[:1]]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "cursor=x", "cursor=%00", "page=1"])
def test_invalid_page_parameters_are_refused(client, query):
    answer = client.get(f"{KEYS}?{query}")
    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.json()["details"]


def test_responses_match_the_documentation(client, acme):
    new = data(client.post(KEYS, {}))
    assert list(new) == list(serializers.NewApiKeySerializer().fields)
    assert list(data(client.get(PATH))) == list(serializers.MerchantSerializer().fields)
    assert list(data(client.get(KEYS))["items"][0]) == list(serializers.ApiKeySerializer().fields)
    rotated = data(client.post(f"{KEYS}/{new['id']}/rotate"))
    assert set(rotated) == set(serializers.RotatedApiKeySerializer().fields)
