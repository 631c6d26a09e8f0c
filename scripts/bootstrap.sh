#!/usr/bin/env bash
# Create .venv with a pinned uv and everything in uv.lock. Needs only Python 3.11+ and the package registries.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}
uv_version=0.13.8

say() { printf '%s\n' "$*" >&2; }
die() { say "setup: $1"; say "  remedy: $2"; exit 3; }

command -v "$python" >/dev/null || die "no '$python' on this machine" "install Python 3.11 or later, or run: make PYTHON=/path/to/python3"
"$python" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' ||
  die "$("$python" --version) is too old" "install Python 3.11 or later, or run: make PYTHON=/path/to/python3"

# Debian ships Python without pip. Its wheel lies in a package that a user without rights can unpack.
pip_from_debian() {
  local folder wheel
  command -v apt-get >/dev/null || die "this Python has neither pip nor ensurepip" "install pip for $python"
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' RETURN
  (cd "$folder" && { apt-get download python3-pip-whl || { [ "$(id -u)" = 0 ] && apt-get update && apt-get download python3-pip-whl; }; } &&
    dpkg-deb -x python3-pip-whl_*.deb .) >/dev/null 2>&1 ||
    die "pip is missing and Debian's python3-pip-whl could not be fetched" "run as root: apt-get update && apt-get install -y python3-venv"
  wheel=$(echo "$folder"/usr/share/python-wheels/pip-*.whl)
  .venv/bin/python "$wheel/pip" install --quiet --no-warn-script-location "$@"
}

if ! .venv/bin/python -c '' 2>/dev/null; then
  say "setup: creating .venv"
  rm -rf .venv
  "$python" -m venv .venv 2>/dev/null || { rm -rf .venv; "$python" -m venv --without-pip .venv; }
fi
if [ "$(.venv/bin/uv --version 2>/dev/null | cut -d' ' -f2)" != "$uv_version" ]; then
  say "setup: installing uv $uv_version"
  if .venv/bin/python -m pip --version >/dev/null 2>&1; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$uv_version"
  else
    pip_from_debian "uv==$uv_version"
  fi
fi

# The machine's own certificates count, as they do for pip.
export UV_SYSTEM_CERTS=1 UV_PROJECT_ENVIRONMENT=.venv UV_PYTHON_DOWNLOADS=never UV_HTTP_TIMEOUT=180
say "setup: installing what uv.lock names"
.venv/bin/uv sync --quiet --frozen --compile-bytecode "${@:2}"
