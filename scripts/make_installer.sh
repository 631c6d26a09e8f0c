#!/usr/bin/env bash
# make_installer.sh KEY.pem [FOLDER]: the client's installer for Windows, signed with a release key, into FOLDER (dist).
# What has to be fetched comes from the package index and is kept under AITRADING_WINDOWS (default ~/.cache/aitrading/windows).
set -euo pipefail
cd "$(dirname "$0")/.."
place=${AITRADING_WINDOWS:-$HOME/.cache/aitrading/windows}
to=${2:-dist}
skip() { echo "installer: $1" >&2; exit 3; }
[ -f "${1:-}" ] || skip "name the release key: make installer KEY=release.pem (new one: scripts/client_release.py key release.pem)"
command -v wixl >/dev/null || skip "an MSI is made with wixl, which is not here (Debian: apt-get install wixl)"
mkdir -p "$place"
source scripts/windows/fetch.sh
fetch_python "$place/pristine"
fetch_packages "$place/packages" "${packages[@]}"
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
for wheel in core client; do .venv/bin/uv build -q --wheel --package "aitrading-$wheel" -o "$wheels"; done
.venv/bin/python scripts/client_installer.py "$1" --python "$place/pristine" --packages "$place/packages" \
  --wheels "$wheels"/aitrading_core-*.whl "$wheels"/aitrading_client-*.whl --to "$to"
