"""The pages that a customer sees: the cashier of page pay and wap pay, and the page behind a QR code.

Page pay and wap pay: the merchant's signed form or link opens the page; the trade exists once the customer logs in.
QR code: to open its link is to scan it; the trade exists then (developer.aliyun.com/article/710933).
Here the customer pays, is declined, or leaves. After the payment the browser returns to the return_url with signed
parameters (method alipay.trade.page.pay.return, open/270/105901).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from urllib.parse import urlencode

from channels.alipay.sandbox import apps, gateway, offers, signatures, trade_records, trades, upkeep
from channels.alipay.sandbox.amounts import write_yuan
from channels.alipay.sandbox.books import Bank, Books
from channels.alipay.sandbox.faults import SandboxOperation
from channels.alipay.sandbox.offers import Offer
from channels.alipay.sandbox.refusals import Refusal, business
from channels.alipay.sandbox.trade_records import Trade

ENGLISH = {
    "ACQ.TRADE_HAS_SUCCESS": "This order has been paid.",
    "ACQ.TRADE_HAS_CLOSE": "This order is closed.",
    "ACQ.CONTEXT_INCONSISTENT": "This order exists with other terms.",
    "ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR": "The time to pay is over.",
    "ACQ.TRADE_NOT_EXIST": "There is no such order.",
}
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:0;background:#f5f5f5;color:#222}"
    "main{max-width:26rem;margin:2rem auto;padding:1.5rem;background:#fff;border-radius:8px}"
    "h1{font-size:1.1rem;margin:0 0 1rem;color:#0958d9}"
    ".amount{font-size:2rem;font-weight:600;margin:.5rem 0}"
    "dl{display:grid;grid-template-columns:auto 1fr;gap:.25rem 1rem;margin:1rem 0}"
    "dd{margin:0;overflow-wrap:anywhere}"
    "button,a.button{display:block;width:100%;box-sizing:border-box;padding:.75rem;margin:.5rem 0;border-radius:6px;"
    "border:1px solid #767676;background:#fff;color:#222;font:inherit;text-align:center;text-decoration:none}"
    "button.primary{background:#0958d9;border-color:#0958d9;color:#fff}"
    ".error{color:#b42318}.note{color:#595959;font-size:.85rem}"
)


@dataclass(frozen=True, slots=True)
class CashierPage:
    """`location`: where the browser goes on to."""

    html: str = ""
    location: str = ""
    charset: str = "utf-8"


def open_signed_page(bank: Bank, fields: Mapping[str, str]) -> CashierPage:
    """Page pay and wap pay: the customer's browser brings what the merchant has signed. Errors are pages in GBK."""
    try:
        request = gateway.verify(gateway.find_app(bank, fields), fields)
        with bank.open_books() as books:
            offer = offers.make_offer(
                app=request.app,
                product=gateway.PAGE_METHODS[request.method],
                content=request.content,
                common=request.common,
                now=books.now,
            )
            trades.check_offer(books, offer)
            offers.save(books.connection, offer)
    except Refusal as refusal:
        return _refused(refusal)
    return CashierPage(location=f"/cashier/{offer.token}")


def show(bank: Bank, token: str, *, is_scan: bool) -> CashierPage:
    """`is_scan`: the link of a QR code, which creates the trade."""
    upkeep.run(bank)
    try:
        with bank.open_books() as books:
            offer = _offer(books, token)
            trade = trades.open_offer(books, offer) if is_scan else _existing_trade(books, offer)
            if trade is None:
                trades.check_offer(books, offer)
            app = apps.get(books.connection, offer.app_id)
    except Refusal as refusal:
        return _refused(refusal, charset="utf-8")
    return _cashier_page(app, offer, trade)


def act(bank: Bank, token: str, action: str) -> CashierPage:
    """The customer's click: login, pay, decline or leave."""
    upkeep.run(bank)
    try:
        with bank.open_books() as books:
            offer = _offer(books, token)
            app = apps.get(books.connection, offer.app_id)
            if action == "leave":
                return _left(offer)
            paid = _existing_trade(books, offer)
            if action == "pay" and paid is not None and paid.is_paid:  # the second click on the button
                return _paid(app, offer, paid, books)
            trade = trades.open_offer(books, offer)
            if action == "pay":
                fault = books.faults.take(
                    SandboxOperation.PAY, app_id=app.app_id, out_trade_no=offer.out_trade_no
                )
                if fault is None:
                    return _paid(app, offer, trades.pay(books, trade), books)
            is_declined = action in ("pay", "decline")
    except Refusal as refusal:
        return _refused(refusal, charset="utf-8")
    return _cashier_page(app, offer, trade, is_declined=is_declined)


def return_address(app: apps.App, offer: Offer, trade: Trade, now: str) -> str:
    """The return_url with parameters that are signed like a notice."""
    method = "alipay.trade.page.pay" if offer.product == apps.PAGE_PAY else "alipay.trade.wap.pay"
    fields = {
        "charset": offer.charset,
        "out_trade_no": trade.out_trade_no,
        "method": f"{method}.return",
        "total_amount": write_yuan(trade.total_fen),
        "trade_no": trade.trade_no,
        "auth_app_id": app.app_id,
        "version": "1.0",
        "app_id": app.app_id,
        "sign_type": "RSA2",
        "seller_id": trade.seller_id,
        "timestamp": now,
    }
    message = signatures.text_to_sign(fields, without=signatures.NOT_IN_NOTICES)
    fields["sign"] = signatures.sign(message.encode(offer.charset), app.signing_key)
    separator = "&" if "?" in offer.return_url else "?"
    return f"{offer.return_url}{separator}{urlencode(fields, encoding=offer.charset)}"


def _offer(books: Books, token: str) -> Offer:
    offer = offers.get(books.connection, token)
    if offer is None:
        raise business("ACQ.TRADE_NOT_EXIST")
    return offer


def _existing_trade(books: Books, offer: Offer) -> Trade | None:
    app = apps.get(books.connection, offer.app_id)
    return trade_records.find_by_number(
        books.connection, seller_id=app.seller_id, out_trade_no=offer.out_trade_no
    )


def _paid(app: apps.App, offer: Offer, trade: Trade, books: Books) -> CashierPage:
    if offer.return_url:
        return CashierPage(location=return_address(app, offer, trade, books.time))
    return _cashier_page(app, offer, trade)


def _left(offer: Offer) -> CashierPage:
    if offer.quit_url:
        return CashierPage(location=offer.quit_url)
    return _page(
        "<p>您已离开收银台，可以关闭此页面。</p><p lang=en>You have left. You can close this page.</p>"
    )


def _cashier_page(
    app: apps.App, offer: Offer, trade: Trade | None, *, is_declined: bool = False
) -> CashierPage:
    parts = [
        "<h1>支付宝收银台（沙箱） <span lang=en>Alipay cashier (sandbox)</span></h1>",
        f"<p class=amount>¥{write_yuan(offer.total_fen)}</p><dl>",
        f"<dt>商品 <span lang=en>Item</span></dt><dd>{escape(offer.subject)}</dd>",
        f"<dt>收款方 <span lang=en>To</span></dt><dd>{escape(app.name)}</dd>",
        f"<dt>订单号 <span lang=en>Order</span></dt><dd>{escape(offer.out_trade_no)}</dd></dl>",
    ]
    if is_declined:
        parts.append(
            "<p class=error role=alert>余额不足，付款未成功。请更换付款方式后重试。 "
            "<span lang=en>Insufficient balance: the payment was declined. Try again.</span></p>"
        )
    if trade is not None and trade.is_paid:
        parts.append("<p role=status>付款成功 <span lang=en>Payment successful</span></p>")
    elif trade is not None and trade.status != trade_records.WAITING:
        parts.append("<p class=error role=alert>交易已经关闭 <span lang=en>This order is closed.</span></p>")
    else:
        parts.append(_buttons(offer, is_open=trade is not None))
    return _page("".join(parts))


def _buttons(offer: Offer, *, is_open: bool) -> str:
    def button(action: str, chinese: str, english: str, kind: str = "") -> str:
        return f"<button name=action value={action} class='{kind}'>{chinese} <span lang=en>{english}</span></button>"

    buttons = (
        button("pay", "确认付款", "Pay", "primary")
        + button("decline", "付款（余额不足）", "Pay, be declined")
        if is_open
        else button("login", "登录账户付款", "Log in to pay", "primary")
    )
    return (
        f"<form method=post action='/cashier/{offer.token}'>{buttons}{button('leave', '离开', 'Leave')}</form>"
        "<p class=note>沙箱不产生真实扣款。 <span lang=en>No real money moves.</span></p>"
    )


def _refused(refusal: Refusal, *, charset: str = gateway.DEFAULT_CHARSET) -> CashierPage:
    """A merchant's broken request is answered by a page in GBK that names the error code."""
    code = refusal.sub_code.removeprefix("isv.")
    return _page(
        "<h1>调试错误，请回到请求来源地，重新发起请求。</h1>"
        f"<p class=error role=alert>错误代码 {escape(code)}</p><p>错误原因: {escape(refusal.sub_msg)}</p>"
        f"<p lang=en>{escape(ENGLISH.get(refusal.sub_code, 'The request was refused.'))}</p>",
        charset=charset,
    )


def _page(body: str, *, charset: str = "utf-8") -> CashierPage:
    html = (
        f'<!doctype html><html lang=zh-CN><head><meta charset="{charset}">'
        '<meta name=viewport content="width=device-width,initial-scale=1">'
        f"<title>支付宝 - 沙箱 Alipay sandbox</title><style>{_STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>"
    )
    return CashierPage(html=html, charset=charset)
