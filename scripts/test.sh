#!/usr/bin/env bash
# Every test. Extra arguments go to pytest: scripts/test.sh core/tests -k spool
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/test_tools.sh
workers=${AITRADING_TEST_WORKERS:-3}

# Temporary folders lie in memory where there is room: a hundred databases that call fsync would wait for
# the disk most of the time. What must survive a power cut is tested on file systems of its own.
room_kb=$(df --output=avail /dev/shm 2>/dev/null | tail -n 1 || true)
if [ -z "${TMPDIR:-}" ] && [ "${room_kb:-0}" -gt 4000000 ] && [ -w /dev/shm ]; then
  TMPDIR=/dev/shm
fi
TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/ait.XXXXXX")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
# The short name matters: a path to a socket has 107 bytes at most.
.venv/bin/pytest -n "$workers" --dist loadgroup --basetemp="$TMPDIR/t" --durations=40 --durations-min=4 "$@"
