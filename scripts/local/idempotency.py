"""Sends one payment twice with one Idempotency-Key and compares the answers. Needs no packages."""

import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid
from typing import NamedTuple

from scripts.local import errors

RULE = "========================================="


class ShownAnswer(NamedTuple):
    status: int
    body: bytes

    def show(self) -> None:
        print(f"HTTP状态码: {self.status}")
        print("响应体:")
        try:
            print(json.dumps(json.loads(self.body), indent=2, ensure_ascii=False))
        except ValueError:  # not JSON: another server
            print(self.body.decode(errors="replace"))


def main() -> int:
    base = (os.environ.get("BASE_URL") or f"http://localhost:{os.environ.get('PORT') or 40003}").rstrip("/")
    now = int(time.time())
    key = f"test-{now}-{uuid.uuid4()}"
    payment = {
        "order_no": f"ORDER-{now}",
        "amount": 10000,
        "currency": "USD",
        "channel": "stripe",
        "subject": "测试支付",
        "body": "幂等性测试",
        "callback_url": "http://localhost:8080/callback",
        "return_url": "http://localhost:8080/return",
    }
    _heading("幂等性测试脚本")
    print(f"生成幂等性Key: {key}\n")
    print(f"测试数据:\n  订单号: {payment['order_no']}\n  金额: 10000 (100.00 USD)\n")
    try:
        first, second = _send_twice(base, key, json.dumps(payment).encode())
    except urllib.error.URLError as error:
        advice = "请先运行 ./scripts/start-all-services.sh"
        print(f"❌ 无法连接 {base} ({error.reason}): {advice}", file=sys.stderr)
        return 1
    return _print_verdict(first, second)


def _send_twice(base: str, key: str, body: bytes) -> tuple[ShownAnswer, ShownAnswer]:
    _heading("第一次请求 (应该创建新支付)", blank=False)
    first = _create_payment(base, key, body)
    first.show()
    print("\n等待2秒...\n", flush=True)
    time.sleep(2)  # as in the quick start
    _heading("第二次请求 (应该返回缓存响应)", blank=False)
    second = _create_payment(base, key, body)
    second.show()
    print()
    return first, second


def _print_verdict(first: ShownAnswer, second: ShownAnswer) -> int:
    _heading("结果验证", blank=False)
    if first.status != 200:
        verdict = f"❌ 幂等性测试失败: 第一次请求返回 {first.status}"
    elif first != second:
        verdict = "❌ 幂等性测试失败: 两次请求返回不同的响应"
    else:
        verdict = "✅ 幂等性测试通过: 两次请求返回相同的响应"
    print(f"{verdict}\n")
    _heading("测试完成", blank=False)
    return 0 if verdict.startswith("✅") else 1


def _create_payment(base: str, key: str, body: bytes) -> ShownAnswer:
    request = urllib.request.Request(
        f"{base}/api/v1/payments",
        data=body,
        headers={
            "Content-Type": "application/json",
            "X-API-Key": os.environ.get("API_KEY", "test-api-key"),
            "X-Signature": os.environ.get("API_SIGNATURE", "test-signature"),
            "Idempotency-Key": key,
        },
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # without a proxy
    try:
        with direct.open(request, timeout=60) as response:
            return ShownAnswer(response.status, response.read())
    except urllib.error.HTTPError as error:
        return ShownAnswer(error.code, error.read())


def _heading(text: str, blank: bool = True) -> None:
    print(f"{RULE}\n{text}\n{RULE}", end="\n\n" if blank else "\n")


if __name__ == "__main__":
    errors.run(main)
