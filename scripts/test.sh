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

# The browser tests drive Chromium; the fonts are for the Chinese in its screenshots.
ensure_browser() {
    export CHROMIUM="${CHROMIUM:-/usr/bin/chromium}"
    if [ -x "$CHROMIUM" ] && [ -e /usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc ]; then
        return
    fi
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing chromium and fonts-noto-cjk …" >&2
        install_packages chromium fonts-noto-cjk && return
    fi
    echo "NOTE chromium and fonts-noto-cjk are missing and cannot be installed from here (needs root and" \
        "apt-get): the browser tests cannot run. Install them, or name a browser with CHROMIUM=/path." >&2
}

# The alert rules are checked, and the platform is scraped, by a real Prometheus.
ensure_prometheus() {
    if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
        return
    fi
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing prometheus …" >&2
        install_packages prometheus && return
    fi
    echo "NOTE prometheus and promtool are missing and cannot be installed from here (needs root and apt-get):" \
        "the tests of rules, dashboards and scrapes cannot run. Install them (Debian's package: prometheus)." >&2
}

# Processes of a test get clocks of their own, which are wrong.
ensure_faketime() {
    if compgen -G "/usr/lib/*/faketime/libfaketimeMT.so.1" >/dev/null; then
        return
    fi
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing libfaketime …" >&2
        install_packages libfaketime && return
    fi
    echo "NOTE libfaketime is missing and cannot be installed from here (needs root and apt-get):" \
        "the tests of wrong clocks cannot run. Install it (Debian's package: libfaketime)." >&2
}

# The edge of deploy/nginx is checked and attacked with a real nginx.
ensure_nginx() {
    if command -v nginx >/dev/null; then
        return
    fi
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing nginx …" >&2
        install_packages nginx-light && return
    fi
    echo "NOTE nginx is missing and cannot be installed from here (needs root and apt-get):" \
        "the tests of the edge cannot run. Install it (Debian's package: nginx-light)." >&2
}

# The platform runs behind a real PgBouncer.
ensure_pgbouncer() {
    if [ -x /usr/sbin/pgbouncer ]; then
        return
    fi
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing pgbouncer …" >&2
        install_packages pgbouncer && return
    fi
    echo "NOTE pgbouncer is missing and cannot be installed from here (needs root and apt-get):" \
        "the tests of a pooler cannot run. Install it (Debian's package: pgbouncer)." >&2
}

# The lab's balancers are checked with a real HAProxy.
ensure_haproxy() {
    if [ -x /usr/sbin/haproxy ]; then
        return
    fi
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing haproxy …" >&2
        install_packages haproxy && return
    fi
    echo "NOTE haproxy is missing and cannot be installed from here (needs root and apt-get):" \
        "the tests of the lab's balancers cannot run. Install it (Debian's package: haproxy)." >&2
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

install_packages() {
    # Waits for another installation, such as that of a second test run.
    local apt=(apt-get -qq -o DPkg::Lock::Timeout=600)
    "${apt[@]}" update >/dev/null || true  # one repository that is down need not matter
    DEBIAN_FRONTEND=noninteractive "${apt[@]}" install --yes --no-install-recommends "$@" >/dev/null
}

ensure_venv requirements-dev.txt
ensure_browser
ensure_prometheus
ensure_faketime
ensure_nginx
ensure_pgbouncer
ensure_haproxy
ensure_npm_packages
exec "$VENV_DIR/bin/python" -m scripts.local.checks "$@"
