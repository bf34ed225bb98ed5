#!/usr/bin/env bash
# The quick start's idempotency test: the same payment twice under one Idempotency-Key must be one payment.
# BASE_URL=http://host:port tests another installation.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/local/env.sh"

python="$(find_python)"
exec "$python" -m scripts.local.idempotency
