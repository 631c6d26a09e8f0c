#!/usr/bin/env bash
# The stores' contract suites on real servers, over TLS. What has to be built is built once and kept under
# AITRADING_SERVERS (default ~/.cache/aitrading/servers); a server that cannot be had is named, with the reason.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/test_tools.sh
servers=${AITRADING_SERVERS:-$HOME/.cache/aitrading/servers}
weaviate=1.39.0

# Weaviate is one Go program. One package at a time: two need more memory than a small machine has.
build_weaviate() {
  local to=$servers/weaviate-$weaviate aside
  [ -x "$to/weaviate-server" ] && return 0
  local go=go
  command -v go >/dev/null || go=/usr/local/go/bin/go
  command -v "$go" >/dev/null || { echo "servers: Weaviate is skipped: no Go to build it with" >&2; return 0; }
  echo "servers: building Weaviate $weaviate, once; about ten minutes" >&2
  mkdir -p "$servers"
  aside=$(mktemp -d "$servers/building.XXXXXX")
  if CGO_ENABLED=0 GOFLAGS=-p=1 GOBIN=$aside "$go" install "github.com/weaviate/weaviate/cmd/weaviate-server@v$weaviate" >"$aside/log" 2>&1; then
    mkdir -p "$to" && mv "$aside/weaviate-server" "$to/"
  else
    echo "servers: Weaviate is skipped: $(tail -n 1 "$aside/log")" >&2
  fi
  rm -rf "$aside"
}

build_weaviate
echo "servers: ArangoDB and Dragonfly cannot be had; their adapters stay UNVERIFIED (recorded bytes only)" >&2
.venv/bin/pytest -m servers -rs "$@" core/tests server/tests
