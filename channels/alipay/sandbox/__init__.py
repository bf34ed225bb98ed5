"""A bank to test against: an HTTP server that speaks Alipay's open API, with accounts and a ledger of its own.

`python -m channels.alipay.sandbox --port 40005 --data DIRECTORY` starts it; tests start `server.SandboxServer`.
It knows neither Django nor the Alipay channel, so that each of them is a witness of the other. Rules, faults and the
control API: docs/ALIPAY-SANDBOX.md. Pages of Alipay's documentation are named by their address on
opendocs.alipay.com or docs.open.alipay.com.
"""
