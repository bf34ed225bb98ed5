import pytest

from channels import registry
from channels.registry import ChannelNotAvailable, UnknownChannel


def test_the_simulator_serves_test_keys_only() -> None:
    served = registry.get_channel("simulator", "test")
    assert (served.channel.name, served.sandbox) == ("simulator", False)
    with pytest.raises(ChannelNotAvailable, match="live"):
        registry.get_channel("simulator", "live")


def test_the_simulator_serves_in_place_of_stripe_only_without_a_secret(settings) -> None:
    settings.STRIPE_SECRET_KEYS = {"test": "", "live": ""}
    served = registry.get_channel("stripe", "test")
    assert (served.channel.name, served.sandbox) == ("simulator", True)
    with pytest.raises(ChannelNotAvailable):
        registry.get_channel("stripe", "live")
    settings.STRIPE_SECRET_KEYS = {"test": "sk_test_something", "live": ""}
    served = registry.get_channel("stripe", "test")
    assert (served.channel.name, served.sandbox) == ("stripe", False)
    with pytest.raises(ChannelNotAvailable, match="STRIPE_LIVE_SECRET_KEY"):
        registry.get_channel("stripe", "live")


@pytest.mark.parametrize("name", ["", "adyen", "Stripe", "simulator "])
def test_other_names_are_unknown(name: str) -> None:
    with pytest.raises(UnknownChannel, match="simulator, stripe"):
        registry.get_channel(name, "test")
