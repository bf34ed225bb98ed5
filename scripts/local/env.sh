# Sourced by the scripts one directory up: finds the project and a Python, and makes the virtual environment.

cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."
VENV_DIR="${VENV_DIR:-.venv}"

# The first Python >= 3.11 that can make virtual environments; PYTHON=… names another one.
find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "ERROR no Python >= 3.11 with venv found: install one (Debian and Ubuntu: apt install python3-venv)" \
        "or name it with PYTHON=/path/to/python3." >&2
    return 1
}

# ensure_venv requirements.txt: after this, $VENV_DIR/bin/python has these packages.
ensure_venv() {
    local python
    python="$(find_python)" || exit 1
    "$python" -m scripts.local.venv "$1" || exit 1
}
