"""Checks the subject of a commit message: `area: what it does`, at most 72 characters. Run by pre-commit.

python -m scripts.commit_subject FILE
"""

import re
import sys
from pathlib import Path

MAX_LENGTH = 72
FORM = re.compile(r"^(fixup! |squash! )?[a-z0-9 ,_./-]+: \S.*[^.]$|^(Merge|Revert) ")


def main() -> int:
    subject = Path(sys.argv[1]).read_text(encoding="utf-8").split("\n", 1)[0]
    if len(subject) > MAX_LENGTH:
        print(f"The subject has {len(subject)} characters, at most {MAX_LENGTH} are allowed: {subject}")
        return 1
    if not FORM.match(subject):
        print(
            f"Begin the subject with an area, and end it without a full stop (sagas: fence late writes): {subject}"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
