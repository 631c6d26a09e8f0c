#!/usr/bin/env bash
# The client on Windows: its tests for Windows, run by Windows Python under Wine with the real system calls of
# DPAPI and of process mitigation, and the real MetaTrader5 package. What has to be fetched is fetched once and
# kept under AITRADING_WINDOWS (default ~/.cache/aitrading/windows). Says why when it cannot run, and exits 0.
set -euo pipefail
cd "$(dirname "$0")/.."
repo=$PWD
place=${AITRADING_WINDOWS:-$HOME/.cache/aitrading/windows}
mkdir -p "$place"
exec 9>"$place/lock"
flock -w 600 9 || { echo "windows: SKIPPED: another run has $place" >&2; exit 0; }
limit_s=${AITRADING_WINDOWS_LIMIT_S:-480}
source scripts/windows/fetch.sh

skip() { echo "windows: SKIPPED: $1" >&2; exit 0; }

wine=$(command -v wine64 || true)
[ -n "$wine" ] || { [ -x /usr/lib/wine/wine64 ] && wine=/usr/lib/wine/wine64; }
[ -n "$wine" ] || skip "no wine64 here (Debian: apt-get install wine64)"
server=$(dirname "$(readlink -f "$wine")")/wineserver64
[ -x "$server" ] || server=$(command -v wineserver || true)
[ -n "$server" ] || skip "no wineserver beside $wine"

python=$place/python
fetch_python "$python"
fetch_packages "$place/site" "${packages[@]}" pytest==9.2.0
find "$place/site" -iname '*140*.dll' -exec cp -n {} "$python/" \;

# Wine 8 lacks one library that programs written in Rust ask for their random bytes.
if [ ! -e "$python/bcryptprimitives.dll" ]; then
  command -v x86_64-w64-mingw32-gcc >/dev/null || skip "no x86_64-w64-mingw32-gcc (Debian: apt-get install gcc-mingw-w64-x86-64)"
  x86_64-w64-mingw32-gcc -shared -O1 -o "$python/bcryptprimitives.dll" scripts/windows/bcryptprimitives.c -ladvapi32
fi

export WINEPREFIX=$place/prefix WINEDEBUG=-all WINEDLLOVERRIDES='mscoree,mshtml=d' WINEARCH=win64
# Only the server of this very Windows ends; nothing of it is left running, and none of its children has the lock.
stop() { "$server" -k 2>/dev/null || true; timeout 20 "$server" -w 2>/dev/null || true; rm -rf "$place/tmp"; }
trap stop EXIT
# Standard input and output as Windows Python wants them: nothing to read, a pipe to write.
run() { timeout -k 10 "$limit_s" "$wine" "$@" </dev/null 2>&1 9>&- | cat; return "${PIPESTATUS[0]}"; }

if [ ! -e "$WINEPREFIX/.ready" ]; then
  echo "windows: making a Windows, once" >&2
  mkdir -p "$WINEPREFIX"
  run reg add 'HKCU\Software\Wine' /v Version /d win10 /f >/dev/null || skip "Wine makes no Windows here"
  touch "$WINEPREFIX/.ready"
fi

windows_path() { printf 'Z:%s' "${1//\//\\}"; }
{
  echo python311.zip
  echo .
  for folder in "$place/site" "$repo/core/src" "$repo/client/src"; do windows_path "$folder"; echo; done
  echo 'import site'
} >"$python/python311._pth"

run "$python/python.exe" -X utf8 -B -m pytest -q -rs --basetemp "$(windows_path "$place/tmp")" -c "$(windows_path "$repo")\\scripts\\windows\\pytest.ini" \
  --rootdir "$(windows_path "$repo/client/tests/windows")" "$(windows_path "$repo/client/tests/windows")" "$@"

echo "windows: how a process of the client, as a worker, stands here:" >&2
run "$python/python.exe" -c 'import json, sys
from pathlib import Path
from aitrading.client.security.process_security import harden_a_child
json.dump(harden_a_child(Path(), confined=True), sys.stdout)' |
  .venv/bin/python -c 'import json, sys; [print("  {name:<28} {outcome:<12} {why}".format(**each)) for each in json.load(sys.stdin)]'

# The installer has minutes of its own; AITRADING_WINDOWS_INSTALLER=0 leaves it out.
[ "${AITRADING_WINDOWS_INSTALLER:-1}" = 1 ] || exit 0
command -v wixl >/dev/null || skip "of the installer: no wixl here (Debian: apt-get install wixl)"
cp "$python/bcryptprimitives.dll" "$WINEPREFIX/drive_c/windows/system32/"
echo "windows: the installer, made, signed, installed, changed and removed:" >&2
AITRADING_WINE=$wine .venv/bin/pytest -q -p no:randomly -rs tests/windows/test_installer.py 9>&-
