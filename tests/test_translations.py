"""The Chinese translation is complete, and the compiled catalogue is current."""

import ast
import gettext
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Message
from babel.messages.pofile import read_po
from django.conf import settings
from django.utils import translation

FOLDER = Path(settings.BASE_DIR, "locale", "zh_Hans", "LC_MESSAGES")
NOT_SHOWN = {".git", ".venv", ".local", "tests", "benchmarks", "scripts"}
# Each translating function, and the position of its text argument.
FUNCTIONS = {
    "_": 0,
    "gettext": 0,
    "gettext_lazy": 0,
    "gettext_noop": 0,
    "ngettext": 0,
    "ngettext_lazy": 0,
    "pgettext_lazy": 1,
}
TRANSLATE = re.compile(r"""{%\s*translate\s+(["'])(.*?)\1|_\((["'])(.*?)\3\)""")
BLOCK = re.compile(r"{%\s*blocktranslate[^%]*%}(.*?){%\s*(?:plural|endblocktranslate)", re.DOTALL)


@pytest.fixture(scope="module")
def catalogue():
    with (FOLDER / "django.po").open("rb") as file:
        return read_po(file, locale="zh_Hans")


def read_sources(pattern: str) -> Iterator[str]:
    for folder in Path(settings.BASE_DIR).iterdir():
        if folder.is_dir() and folder.name not in NOT_SHOWN:
            yield from (path.read_text() for path in folder.rglob(pattern))


def find_texts_in_python(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        position = FUNCTIONS.get(getattr(node.func, "id", getattr(node.func, "attr", "")))
        if position is None or len(node.args) <= position:
            continue
        text = node.args[position]
        if isinstance(text, ast.Constant) and isinstance(text.value, str):
            yield text.value


def find_texts_in_template(source: str) -> Iterator[str]:
    for match in TRANSLATE.finditer(source):
        yield match[2] or match[4]
    for match in BLOCK.finditer(source):
        yield re.sub(r"{{\s*(\w+)\s*}}", r"%(\1)s", match[1])


def test_every_text_of_the_code_is_in_the_catalogue(catalogue):
    """Texts of Django and REST framework have their own catalogues."""
    ours = {message.id if isinstance(message.id, str) else message.id[0] for message in catalogue}
    sources = (source for source in read_sources("*.py") if "gettext" in source)
    texts = {text for source in sources for text in find_texts_in_python(source)}
    texts |= {text for source in read_sources("*.html") for text in find_texts_in_template(source)}
    assert len(texts) > 1000
    with translation.override("zh-hans"):
        missing = [text for text in texts - ours if translation.gettext(text) == text]
    assert sorted(missing) == []


def find_texts_with_a_context(source: str) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "pgettext_lazy":
            context, text = (ast.literal_eval(argument) for argument in node.args)
            yield context, text


def test_every_text_with_a_context_is_in_the_catalogue(catalogue):
    ours = {(message.context, message.id) for message in catalogue}
    sources = (source for source in read_sources("*.py") if "pgettext" in source)
    texts = {text for source in sources for text in find_texts_with_a_context(source)}
    assert texts
    assert sorted(texts - ours) == []


def test_every_text_is_translated(catalogue):
    assert not [message.id for message in catalogue if message.id and not message.string]
    assert not [message.id for message in catalogue if message.fuzzy and message.id]


def test_one_idea_has_one_word(catalogue):
    """What docs/GLOSSARY.md calls otherwise."""
    avoided = re.compile("操作记录|操作日志|审计记录")
    assert not [message.id for message in catalogue if avoided.search(str(message.string))]


def test_no_text_is_in_the_catalogue_twice():
    texts = re.findall(
        r'^((?:msgctxt .*\n)?msgid (?:".*"\n)+)', (FOLDER / "django.po").read_text(), re.MULTILINE
    )
    assert [text for text, count in Counter(texts).items() if count > 1] == []


def test_placeholders_survive_translation(catalogue):
    assert not [message.id for message in catalogue if list(message.check())]


def look_up(compiled: gettext.GNUTranslations, message: Message) -> str:
    if message.context:
        return compiled.pgettext(message.context, message.id)
    return compiled.gettext(message.id)


def test_the_compiled_catalogue_is_current(catalogue):
    with (FOLDER / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    stale = [m.id for m in catalogue if m.id and look_up(compiled, m) != m.string]
    assert not stale, "run: django-admin compilemessages"


def test_texts_of_the_contract_are_translated_as_agreed():
    with translation.override("zh-hans"):
        assert translation.gettext("Created") == "创建成功"
        assert translation.gettext("The refunds exceed the payment amount") == "退款总额超过支付金额"
        assert (
            translation.gettext("The request is being processed, please try again later")
            == "请求正在处理中，请稍后重试"
        )
