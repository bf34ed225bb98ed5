#!/usr/bin/env bash
# Starts the whole platform on this machine: PostgreSQL, Redis, gateway, saga workers, poller, Celery, relay, webhooks.
# --with-sandboxes also starts the sandboxes of WeChat Pay and Alipay, as the accounts of these channels.
# Needs only Python >= 3.11. DB_HOST=… and REDIS_HOST=… use servers that exist already; PORT, DB_PORT,
# REDIS_PORT, WECHAT_SANDBOX_PORT, ALIPAY_SANDBOX_PORT, LOCAL_DIR, LOG_DIR and VENV_DIR move what is taken.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/local/env.sh"

ensure_venv requirements.txt
exec "$VENV_DIR/bin/python" -m scripts.local.start "$@"
