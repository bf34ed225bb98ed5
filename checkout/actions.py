"""Prepares what the customer does next for the payment page: a code, a form, a page, or the client of WeChat."""

import io
import json
from dataclasses import dataclass
from typing import assert_never

import segno
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from channels.base import FormAction, NextAction, QrCodeAction, RedirectAction, SdkAction
from checkout.links import list_form_sources, read_host, read_web_url

WECHAT, ALIPAY = "wechat", "alipay"
_QUIET_ZONE = 4  # modules of white around a code, as its standard demands
_PICTURE_SCALE = 12
_LONGEST_CODE = 2953  # bytes, of the largest code
# The user agent of WeChat's own browser contains this word, and only there WeChat's client can be called.
_WECHAT_BROWSER = "MicroMessenger"


@dataclass(frozen=True, slots=True)
class ShownAction:
    """An action as the template needs it. `kind` names the template; empty values are not shown."""

    kind: str
    title: str = ""
    hint: str = ""
    button: str = ""
    url: str = ""
    svg: SafeString | str = ""
    app_link: str = ""
    app_label: str = ""
    picture_hint: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    params: str = ""
    form_sources: tuple[str, ...] = ()


def prepare_action(
    action: NextAction, *, channel: str, amount: str, page_url: str, user_agent: str, allows_http: bool
) -> ShownAction | None:
    """None when the page cannot lead the customer on: an address that is no web address, a code that is too long."""
    match action:
        case RedirectAction(url):
            return _prepare_redirect(url, amount, allows_http)
        case QrCodeAction(content):
            return _prepare_code(content, channel, allows_http)
        case FormAction():
            return _prepare_form(action, channel, allows_http)
        case SdkAction():
            return _prepare_client(action, channel, amount, page_url, user_agent)
        case _ as never:
            assert_never(never)


def draw_code(content: str) -> SafeString | None:
    """The QR code of `content` as inline SVG; None when it does not fit into one."""
    code = _make_code(content)
    if code is None:
        return None
    svg: str = code.svg_inline(
        border=_QUIET_ZONE, dark="#000", light="#fff", omitsize=True, svgclass="qr", lineclass=None
    )
    return mark_safe(svg)  # noqa: S308 - SVG made by segno: it draws the content and does not contain it


def make_picture(content: str) -> bytes | None:
    """The QR code of `content` as PNG, to be saved on a phone."""
    code = _make_code(content)
    if code is None:
        return None
    picture = io.BytesIO()
    code.save(picture, kind="png", scale=_PICTURE_SCALE, border=_QUIET_ZONE)
    return picture.getvalue()


def _make_code(content: str) -> segno.QRCode | None:
    if not 1 <= len(content) <= _LONGEST_CODE:
        return None
    try:
        return segno.make(content, micro=False)
    except ValueError:  # longer than any code, or no text
        return None


def _prepare_redirect(url: str, amount: str, allows_http: bool) -> ShownAction | None:
    if read_web_url(url, allows_http=allows_http) is None:
        return None
    return ShownAction(
        "redirect",
        url=url,
        button=_("Pay %(amount)s") % {"amount": amount},
        hint=_("You pay on the secure page of %(pay_host)s.") % {"pay_host": read_host(url)},
    )


def _prepare_code(content: str, channel: str, allows_http: bool) -> ShownAction | None:
    svg = draw_code(content)
    if svg is None:
        return None
    # A phone opens a web address in the channel's app, or shows it. WeChat takes codes of payments from its scanner
    # alone: `weixin://…` is no link.
    app_link = content if read_web_url(content, allows_http=allows_http) else ""
    title, app_label = _("Scan with your phone to pay"), _("Pay on this device")
    picture_hint = _("On this phone: save the code, then choose it in the app that you pay with.")
    if channel == WECHAT:
        title = _("Scan with WeChat to pay")
        picture_hint = _("On this phone: save the code, then choose it in WeChat under Scan, Album.")
    elif channel == ALIPAY:
        title, app_label = _("Scan with Alipay to pay"), _("Open Alipay")
        picture_hint = _(
            "On this phone: open Alipay, or save the code and choose it there under Scan, Album."
        )
    return ShownAction(
        "qr_code", title=title, svg=svg, app_link=app_link, app_label=app_label, picture_hint=picture_hint
    )


def _prepare_form(action: FormAction, channel: str, allows_http: bool) -> ShownAction | None:
    sources = list_form_sources(action.url)
    if not sources or read_web_url(action.url, allows_http=allows_http) is None:
        return None
    host = read_host(action.url)
    button = _("Continue to Alipay") if channel == ALIPAY else _("Continue to payment")
    return ShownAction(
        "form",
        url=action.url,
        fields=tuple(action.fields.items()),
        form_sources=tuple(sources),
        button=button,
        hint=_("You pay on the secure page of %(pay_host)s.") % {"pay_host": host},
    )


def _prepare_client(
    action: SdkAction, channel: str, amount: str, page_url: str, user_agent: str
) -> ShownAction | None:
    """WeChat's client is called by the page itself. The parameters of other clients are for the shop's own page."""
    if channel != WECHAT:
        return None
    if _WECHAT_BROWSER in user_agent:
        return ShownAction(
            "wechat_client",
            button=_("Pay %(amount)s") % {"amount": amount},
            params=json.dumps(dict(action.params)),
        )
    return ShownAction(
        "open_in_wechat",
        title=_("Please open this page in WeChat"),
        hint=_(
            "Scan this code with WeChat, or send yourself the address of this page in WeChat and open it there."
        ),
        svg=draw_code(page_url) or "",
    )
