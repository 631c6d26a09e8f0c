#!/usr/bin/env bash
# Debian packages that some tests want. Root installs them; without root those tests say why they skip.
set -uo pipefail

missing=()
command -v chromium >/dev/null || missing+=(chromium)
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "test: installing ${missing[*]} for the browser tests" >&2
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/dev/null 2>&1 ||
    echo "test: could not install ${missing[*]}; the browser tests will be skipped" >&2
else
  echo "test: ${missing[*]} not found; the browser tests will be skipped (as root: apt-get install ${missing[*]})" >&2
fi
exit 0
