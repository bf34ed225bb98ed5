"""The pages of the customer's phone, in Chinese with English: pay, decline, or pay later. They need no JavaScript."""

import html
import urllib.parse
from collections.abc import Mapping

from channels.wechat.sandbox import customer
from channels.wechat.sandbox.bank import Bank
from channels.wechat.sandbox.bill_files import format_yuan
from channels.wechat.sandbox.customer import CannotPay, PaymentInvitation
from channels.wechat.sandbox.messages import SandboxAnswer, SandboxRequest

_PAGE = """<!doctype html>
<html lang="zh-CN"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>
body {{ margin: 0; background: #ededed; color: #191919; font: 16px/1.5 system-ui, "Noto Sans CJK SC", sans-serif; }}
main {{ max-width: 26rem; margin: 0 auto; padding: 1.5rem 1rem; }}
.card {{ background: #fff; border-radius: .75rem; padding: 1.5rem; text-align: center; margin-bottom: 1rem; }}
.amount {{ font-size: 2.5rem; font-weight: 600; margin: .25rem 0; }}
dl {{ text-align: left; display: grid; grid-template-columns: auto 1fr; gap: .25rem 1rem; margin: 1rem 0 0; }}
dt {{ color: #5c5c5c; }} dd {{ margin: 0; text-align: right; overflow-wrap: anywhere; }}
button, .button {{ display: block; box-sizing: border-box; width: 100%; padding: .75rem; margin-top: .75rem;
  border: 1px solid #8a8a8a; border-radius: .5rem; background: #fff; color: inherit; font: inherit; text-align: center;
  text-decoration: none; cursor: pointer; }}
button.pay {{ background: #06743b; border-color: #06743b; color: #fff; }}
input {{ box-sizing: border-box; width: 100%; padding: .6rem; font: inherit; border: 1px solid #8a8a8a;
  border-radius: .5rem; }}
small {{ color: #5c5c5c; }} table {{ width: 100%; border-collapse: collapse; text-align: left; }}
h1, h2 {{ font-size: 1.25rem; margin: 0 0 1rem; }}
td:last-child {{ text-align: right; white-space: nowrap; padding-left: 1rem; }}
td {{ padding: .4rem 0; border-top: 1px solid #e5e5e5; overflow-wrap: anywhere; }}
</style></head><body><main>{content}
<p><small>微信支付沙箱：不涉及真实资金。<br>A sandbox of WeChat Pay: no real money moves.</small></p>
</main></body></html>"""
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def serve(bank: Bank, request: SandboxRequest, *, is_local: bool) -> SandboxAnswer:
    """`is_local` allows the list of open orders, which only this machine may see."""
    path, query = request.path, request.query
    if path == "/" and request.method == "GET" and is_local:
        return _show_phone(bank, query)
    if path == "/bridge" and request.method == "GET":
        return _open_bridge(bank, query)
    if path == "/cgi-bin/mmpayweb-bin/checkmweb":
        invitation = customer.find_invitation(bank, prepay_id=query.get("prepay_id", ""))
    elif path.startswith("/pay/"):
        invitation = customer.find_invitation(bank, token=path.removeprefix("/pay/"))
    else:
        invitation = None
    if invitation is None:
        return _message(404, "找不到订单", "There is no such order.")
    if request.method == "POST":
        return _act(bank, request, invitation)
    if invitation.reason:
        return _message(200, invitation.reason, "This order cannot be paid.", _back(query))
    return _format(200, "微信支付", _describe(invitation) + _form(request.url))


def _describe(invitation: PaymentInvitation) -> str:
    order = invitation.order
    return f"""<div class="card"><div>{html.escape(invitation.merchant_name)}</div>
<div class="amount">¥{format_yuan(order["total"])}</div>
<dl><dt>商品 Goods</dt><dd>{html.escape(order["description"])}</dd>
<dt>商户单号 Order</dt><dd>{html.escape(order["out_trade_no"])}</dd></dl></div>"""


def _form(action: str) -> str:
    return f"""<form method="post" action="{html.escape(action)}">
<button class="pay" name="action" value="pay">立即支付 Pay with WeChat</button>
<button name="action" value="decline">余额不足 Decline (not enough money)</button>
<button name="action" value="later">暂不支付 Pay later</button></form>"""


def _act(bank: Bank, request: SandboxRequest, invitation: PaymentInvitation) -> SandboxAnswer:
    form = dict(urllib.parse.parse_qsl(request.body.decode(errors="replace")))
    back = _back(request.query)
    match form.get("action"):
        case "pay":
            try:
                if invitation.reason:
                    raise CannotPay(invitation.reason)
                customer.pay(bank, invitation.order["id"])
            except CannotPay as error:
                return _message(409, str(error), "This order cannot be paid.", back)
            return _message(200, "支付成功", "Paid.", back)
        case "decline":  # a refused card leaves the order as it is: NOTPAY
            return _message(
                200, "支付失败：余额不足", "Declined: not enough money. The order stays open.", back
            )
        case "later":
            return _message(200, "未支付，订单在有效期内仍可支付", "Not paid. The order stays open.", back)
    return _message(400, "操作无效", "There is no such action.", back)


def _back(query: Mapping[str, str]) -> str:
    """H5: the merchant may append `redirect_url` to the h5_url, where the customer goes afterwards."""
    url = query.get("redirect_url", "")
    if not url.startswith(("http://", "https://")):
        return ""
    return f'<a class="button" href="{html.escape(url)}">返回商户 Back to the shop</a>'


def _open_bridge(bank: Bank, query: Mapping[str, str]) -> SandboxAnswer:
    """Stands for WeixinJSBridge.invoke('getBrandWCPayRequest', …): its parameters lead to the payment page."""
    try:
        prepay_id = customer.check_bridge_call(bank, query)
    except CannotPay as error:
        return _message(400, str(error), "WeChat refuses these parameters.")
    invitation = customer.find_invitation(bank, prepay_id=prepay_id)
    with bank.books.transaction() as db:
        token = db.execute("SELECT token FROM links WHERE prepay_id = ?", [prepay_id]).fetchone()["token"]
    assert invitation is not None
    return SandboxAnswer(302, headers={**_HEADERS, "Location": f"/pay/{token}"})


def _show_phone(bank: Bank, query: Mapping[str, str]) -> SandboxAnswer:
    """Scans a code_url that somebody pastes, and lists what can be paid."""
    scanned = urllib.parse.urlsplit(query.get("code_url", "").strip())
    token = dict(urllib.parse.parse_qsl(scanned.query)).get("pr") or scanned.path.rpartition("/")[2]
    if token and customer.find_invitation(bank, token=token):
        return SandboxAnswer(
            302, headers={**_HEADERS, "Location": f"/pay/{urllib.parse.quote(token, safe='')}"}
        )
    with bank.books.transaction() as db:
        rows = db.execute(
            "SELECT o.*, l.token FROM orders o JOIN links l ON l.order_id = o.id"
            " WHERE o.state = 'NOTPAY' AND l.expires_at > ? ORDER BY o.id DESC LIMIT 50",
            [bank.clock.now()],
        ).fetchall()
    lines = "".join(
        f'<tr><td><a href="/pay/{row["token"]}">{html.escape(row["out_trade_no"])}</a><br>'
        f"{html.escape(row['description'])}</td><td>¥{format_yuan(row['total'])}</td></tr>"
        for row in rows
    )
    refusal = "<p>无法识别 Not a code of this sandbox.</p>" if token else ""
    return _format(
        200,
        "微信支付沙箱",
        f"""<div class="card"><h1>扫一扫 Scan</h1><form method="get" action="/">
<input name="code_url" aria-label="code_url" placeholder="weixin://wxpay/bizpayurl?pr=…" required>
<button class="pay">打开 Open</button></form>{refusal}</div>
<div class="card"><h2>待支付订单 Open orders</h2><table>{lines or "<tr><td>无 None</td></tr>"}</table></div>""",
    )


def _message(status: int, chinese: str, english: str, below: str = "") -> SandboxAnswer:
    content = f'<div class="card"><h1>{html.escape(chinese)}</h1><p>{html.escape(english)}</p></div>{below}'
    return _format(status, chinese, content)


def _format(status: int, title: str, content: str) -> SandboxAnswer:
    page = _PAGE.format(title=html.escape(title), content=content)
    return SandboxAnswer(status, page.encode(), "text/html; charset=utf-8", _HEADERS)
