"""A server that speaks WeChat Pay APIv3 and has its own books, to test against: docs/WECHAT-SANDBOX.md.

It uses the standard library and `cryptography` alone, and shares no code with the channel that it tests. Each rule
names the page of WeChat Pay's documentation that states it; `doc/v3/merchant/…` is below https://pay.weixin.qq.com.
"""
