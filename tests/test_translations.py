"""Chinese is complete, and the compiled catalogue is the one that was translated."""

import gettext
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from django.conf import settings
from django.utils import translation

FOLDER = Path(settings.BASE_DIR, "locale", "zh_Hans", "LC_MESSAGES")


@pytest.fixture(scope="module")
def catalogue():
    with (FOLDER / "django.po").open("rb") as file:
        return read_po(file, locale="zh_Hans")


def test_every_text_is_translated(catalogue):
    assert not [message.id for message in catalogue if message.id and not message.string]
    assert not [message.id for message in catalogue if message.fuzzy and message.id]


def test_placeholders_survive_translation(catalogue):
    assert not [message.id for message in catalogue if list(message.check())]


def test_the_compiled_catalogue_is_current(catalogue):
    with (FOLDER / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    stale = [m.id for m in catalogue if m.id and compiled.gettext(m.id) != m.string]
    assert not stale, "run: django-admin compilemessages"


def test_the_words_of_the_contract():
    with translation.override("zh-hans"):
        assert translation.gettext("Created") == "创建成功"
        assert translation.gettext("The refunds exceed the payment amount") == "退款总额超过支付金额"
        assert (
            translation.gettext("The request is being processed, please try again later")
            == "请求正在处理中，请稍后重试"
        )
