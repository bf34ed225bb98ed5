"""The commands of README and GETTING-STARTED, run exactly as written in a shell."""

import json
import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.local.account import server_account
from scripts.local.config import ROOT
from scripts.local.wheels import postgres_binary
from tests.stack.installation import Installation

pytestmark = pytest.mark.stack

BLOCK = re.compile(r"^## (?P<heading>[^\n]+)$|^```(?P<language>bash|sql)\n(?P<text>.*?)^```$", re.M | re.S)
PATIENCE_SECONDS = 900
RUNS_THIS_TEST = re.compile(r"^\./scripts/test\.sh.*$", re.M)


@dataclass(frozen=True)
class Block:
    heading: str
    language: str
    text: str


class Reader:
    """Pastes all blocks of a document in order into one shell, with the ports of this test."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation

    def follow(self, blocks: list[Block]) -> dict[str, list[str]]:
        """Returns what the blocks below each heading printed. A command that failed is printed as `FAILED: …`."""
        lines = ["trap 'echo \"FAILED: $BASH_COMMAND\"' ERR"]
        for block in blocks:
            text = block.text if block.language == "bash" else f"./scripts/psql.sh <<'SQL'\n{block.text}SQL\n"
            lines += [self._with_ports(RUNS_THIS_TEST.sub("", text)), "echo '=== END OF BLOCK'"]
        environment = self._installation.environment(SAGA_LEASE_SECONDS="12")
        environment["PATH"] = (
            f"{Path(postgres_binary('psql', server_account())).parent}:{environment['PATH']}"
        )
        printed_file = (
            self._installation.directory / "reader.txt"
        )  # a pipe would stay open until every process that inherits it ends
        with printed_file.open("w") as out, suppress(subprocess.TimeoutExpired):
            subprocess.run(
                ["bash", "-c", "\n".join(lines)],
                cwd=self._installation.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=PATIENCE_SECONDS,
            )
        text = printed_file.read_text()
        printed = text.split("=== END OF BLOCK\n")
        assert len(printed) == len(blocks) + 1, text
        by_heading: dict[str, list[str]] = {}
        for block, text in zip(blocks, printed, strict=False):
            by_heading.setdefault(block.heading, []).append(text)
        return by_heading

    def _with_ports(self, text: str) -> str:
        ports = self._installation.ports
        return text.replace("localhost:40003", f"localhost:{ports['PORT']}").replace(
            "-p 40432", f"-p {ports['DB_PORT']}"
        )


def blocks_of(document: str) -> list[Block]:
    heading, found = "", []
    for match in BLOCK.finditer((ROOT / document).read_text(encoding="utf-8")):
        if match["heading"]:
            heading = match["heading"]
        else:
            found.append(Block(heading, match["language"], match["text"]))
    return found


def test_a_reader_follows_the_documents(installation: Installation) -> None:
    """All three documents use one stack: GETTING-STARTED starts and stops it, and it is running for the READMEs."""
    (installation.directory / ".venv").symlink_to(sys.prefix)
    reader = Reader(installation)
    *steps, stop = blocks_of("docs/GETTING-STARTED.md")
    assert_getting_started(reader.follow(steps))
    assert_readme(reader.follow(blocks_of("README.md")), created="创建成功")
    assert_readme(reader.follow(blocks_of("README.zh-CN.md")), created="创建成功")
    assert reader.follow([stop])["Stop"] == ["stopping …\nstopped\n"]


def assert_getting_started(printed: dict[str, list[str]]) -> None:
    start, helpers = printed["1. Run it"]
    assert "The payment platform is ready." in start
    assert helpers == ""

    created, _after_the_customer_paid = printed["2. Make a payment"]
    assert re.findall(r"^HTTP (\d+)$", created, re.M) == ["200"]
    payment = json.loads(created.splitlines()[0])["data"]
    assert payment["status"] == "pending"
    assert payment["payment_url"]
    assert looks(created) == [("pending", "completed", ["completed", "completed", "completed"])]
    (repeated,) = printed["3. Repeat the request"]
    assert created.startswith(repeated), "the stored answer, byte for byte"

    lost, ledger = printed["4. Lose the channel's answer"]
    assert "HTTP 202" in lost
    assert looks(lost)[-1] == ("succeeded", "completed", ["completed", "completed", "completed"])
    assert ledger.count("charge |  10000") == 1

    killed, resumed, history, repeated = printed["5. Kill the gateway in the middle of a call"]
    assert "Empty reply from server" in killed
    done = ("succeeded", "completed", ["completed", "completed", "completed"])
    # The lease expires later: on a machine that is slower than that, the saga is already resumed.
    assert looks(killed) in ([("pending", "in_progress", ["completed", "pending", "pending"])], [done])
    assert looks(resumed) == [done]
    assert "(fence 2)" in history
    assert "HTTP 200" in repeated, "the lease of the key expires not later than that of the saga"

    undone, again = printed["6. See a compensation"]
    assert looks(undone)[-1] == ("failed", "compensated", ["compensated", "compensated", "pending"])
    assert "HTTP 200" in again

    (refunds,) = printed["7. Refund"]
    assert re.findall(r"^HTTP (\d+)$", refunds, re.M) == ["200", "422", "200"]
    assert "refund_exceeds_payment" in refunds
    assert json.loads(refunds.splitlines()[-2])["data"]["refundable_amount"] == 4_000
    (checks,) = printed["9. Check that everything agrees"]
    assert re.search(r"^(\d+) of \1 checks passed$", checks, re.M)
    assert "FAILED" not in str(printed)


def assert_readme(printed: dict[str, list[str]], *, created: str) -> None:
    blocks = list(printed.values())
    (started,), (payment,), (refunds,), (merchant,), (_shell, tables) = blocks
    assert "already running" in started
    assert created in payment
    assert "refund_exceeds_payment" in refunds
    assert '"code": 0' in refunds
    assert "sk_live_" in merchant
    assert created in merchant
    assert tables.count(" rows)") == 3
    assert "CallPaymentChannel" in tables
    assert "FAILED" not in str(blocks)


def looks(text: str) -> list[tuple[str, str, list[str]]]:
    """Returns the output of each `look` of the document: statuses of the payment, the saga and the saga's steps."""
    found = []
    for table in re.split(r"^\(\d+ rows\)$", text, flags=re.M)[:-1]:
        rows = [line.split(" | ") for line in table.splitlines() if line.startswith(" PAY-")]
        found.append((rows[0][1].strip(), rows[0][2].strip(), [row[4].strip() for row in rows]))
    return found
