from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.installation import Installation


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    copy = Installation(tmp_path / "platform")
    yield copy
    copy.remove()
