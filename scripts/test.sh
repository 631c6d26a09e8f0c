#!/usr/bin/env bash
# Every test. Extra arguments go to pytest: scripts/test.sh core/tests -k spool
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/test_tools.sh
workers=${AITRADING_TEST_WORKERS:-2}
exec .venv/bin/pytest -n "$workers" --dist loadgroup "$@"
