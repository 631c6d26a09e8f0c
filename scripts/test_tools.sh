#!/usr/bin/env bash
# Debian packages that some tests want. Root installs them; without root those tests say why they skip.
set -uo pipefail

# sslyze wants an older cryptography than the platform, so it lives in an environment of its own.
lock=security/sslyze/requirements.txt home=.venv-sslyze
if ! cmp -s "$lock" "$home/requirements.txt"; then
  { .venv/bin/uv venv --quiet --clear "$home" &&
    UV_SYSTEM_CERTS=1 .venv/bin/uv pip install --quiet --require-hashes -p "$home/bin/python" -r "$lock" &&
    cp "$lock" "$home/requirements.txt"; } >/dev/null 2>&1 || echo "test: could not install sslyze; its tests will be skipped" >&2
fi

missing=()
command -v chromium >/dev/null || missing+=(chromium)
command -v redis-server >/dev/null || missing+=(redis-server)
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "test: installing ${missing[*]} for the tests that need them" >&2
  policy=/usr/sbin/policy-rc.d # while it says 101, no package starts a server of its own
  [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy && trap 'rm -f /usr/sbin/policy-rc.d' EXIT; }
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/dev/null 2>&1 ||
    echo "test: could not install ${missing[*]}; their tests will be skipped" >&2
else
  echo "test: ${missing[*]} not found; their tests will be skipped (as root: apt-get install ${missing[*]})" >&2
fi
exit 0
