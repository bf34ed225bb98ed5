#!/usr/bin/env bash
# Sets up everything it needs and runs every check and test. With arguments, except --random, --long and
# --record-seconds alone: only pytest, with these.
#   ./scripts/test.sh
#   ./scripts/test.sh tests/sagas -k fence
#   ./scripts/test.sh --fast      the tests that need neither processes nor a browser nor seconds
#   ./scripts/test.sh --random    in random order; --randomly-seed=NUMBER repeats one that pytest printed
# Uses servers of its own, so it can run beside the local stack and beside itself.
set -euo pipefail
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/local/env.sh"
. scripts/local/packages.sh

# Programs that tests run, and the files by which they are recognised.
# - Chromium and fonts: browser tests, and the Chinese in their screenshots.
# - Prometheus: alert rules, dashboards and scrapes.
# - libfaketime: processes whose clocks are wrong.
# - nginx: the edge of deploy/nginx.  PgBouncer: the pooler.  HAProxy: the balancers of the lab.
ensure_programs() {
    export CHROMIUM="${CHROMIUM:-/usr/bin/chromium}"
    local missing long=()
    [[ " $* " != *" --long "* ]] || long=("${LAB_PROGRAMS[@]}")
    mapfile -t missing < <(find_missing ${long[@]+"${long[@]}"} \
        "$CHROMIUM:chromium" \
        "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc:fonts-noto-cjk" \
        "/usr/bin/promtool:prometheus" \
        "/usr/lib/*/faketime/libfaketimeMT.so.1:libfaketime" \
        "/usr/sbin/nginx:nginx-light" \
        "/usr/sbin/pgbouncer:pgbouncer" \
        "/usr/sbin/haproxy:haproxy")
    if [ "${#missing[@]}" = 0 ] || install_packages "${missing[@]}"; then
        return
    fi
    echo "NOTE these Debian packages are missing and cannot be installed from here (needs root and apt-get):" \
        "${missing[*]}. The tests that need them fail. Install them; CHROMIUM=/path names another browser." >&2
}

# Generated clients and the linter of the API's document; Node itself comes with requirements-dev.txt.
ensure_npm_packages() {
    local folder=tests/contract/npm bin
    bin="$(readlink -f "$VENV_DIR")/bin"
    (
        flock 9  # two runs share the folder
        cmp -s "$folder/package-lock.json" "$folder/node_modules/.installed" && exit
        echo "installing the packages of $folder …" >&2
        PATH="$bin:$PATH" "$bin/npm" ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --silent || exit 1
        cp "$folder/package-lock.json" "$folder/node_modules/.installed"
    ) 9>"$folder/.lock" || {
        echo "NOTE the packages of $folder cannot be installed: the tests of generated clients cannot run." >&2
    }
}

ensure_venv requirements-dev.txt
ensure_programs "$@"
ensure_npm_packages
exec "$VENV_DIR/bin/python" -m scripts.local.checks "$@"
