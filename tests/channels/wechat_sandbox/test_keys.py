"""A sandbox that runs as a process keeps its keys, and writes settings that the platform can read."""

from pathlib import Path

import environ
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from channels.wechat.sandbox import keys
from channels.wechat.sandbox.__main__ import format_settings
from tests.support.wechat_sandbox import FIRST_MCHID, SECOND_MCHID, key_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the RSA keys of the other tests, because new keys take long."""
    owners = {
        "platform_certificate_key": "platform certificate",
        "platform_public_key_pair": "platform public key",
        f"merchant_{FIRST_MCHID}_key": FIRST_MCHID,
        f"merchant_{SECOND_MCHID}_key": SECOND_MCHID,
    }
    for name, owner in owners.items():
        keys.write_secretly(tmp_path / f"{name}.pem", keys.format_private_key(key_of(owner)))
    return tmp_path


def test_the_keys_are_made_once_and_read_by_nobody_else(folder: Path) -> None:
    first = keys.load_or_create(folder, [FIRST_MCHID])
    second = keys.load_or_create(folder, [FIRST_MCHID, SECOND_MCHID])
    assert format_settings(second, "http://x").startswith(format_settings(first, "http://x"))
    assert first.platform.certificate == second.platform.certificate
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}


def test_the_platform_reads_the_settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test reads the file as payment_platform/settings does; the second merchant is a comment in it."""
    made = keys.load_or_create(folder, [FIRST_MCHID, SECOND_MCHID])
    merchant = made.identities[0].merchant
    file = folder / "settings.env"
    keys.write_secretly(file, format_settings(made, "http://127.0.0.1:40004"))
    env = environ.Env()
    monkeypatch.setattr(environ.Env, "ENVIRON", {})
    env.read_env(file)
    assert env.str("WECHAT_TEST_MCH_ID") == FIRST_MCHID
    assert env.str("WECHAT_TEST_CERTIFICATE_SERIAL_NO") == merchant.certificate_serial
    private_key = load_pem_private_key(
        env.str("WECHAT_TEST_PRIVATE_KEY", multiline=True).encode(), password=None
    )
    assert private_key.public_key() == merchant.public_key
    public_key = load_pem_public_key(env.str("WECHAT_TEST_PUBLIC_KEY", multiline=True).encode())
    assert public_key == key_of("platform public key").public_key()


@pytest.mark.parametrize("mchid", [FIRST_MCHID, "1234567890"])
def test_numbers_have_the_form_of_the_real_ones(mchid: str) -> None:
    merchant = keys.make_merchant(mchid, key_of(FIRST_MCHID)).merchant
    assert len(merchant.certificate_serial) == 40
    assert len(merchant.apiv3_key) == 32
    assert len(merchant.appid) == 18
    assert merchant.public_key_id.startswith(f"PUB_KEY_ID_01{mchid}")
