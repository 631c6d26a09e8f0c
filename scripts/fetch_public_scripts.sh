#!/usr/bin/env bash
# Fetches the programs of other people that client/tests/terminal/test_public_scripts.py runs on the twin, at the
# commits it was written for, into a folder outside of this repository: none of it is ever committed.
set -euo pipefail
folder=$(realpath -m -- "${1:?usage: scripts/fetch_public_scripts.sh FOLDER}")
source=${AITRADING_PUBLIC_SOURCE:-https://github.com}
repository=$(cd "$(dirname "$0")/.." && pwd -P)
case $folder/ in "$repository"/*)
  echo "$folder is inside the repository; choose a folder elsewhere." >&2
  exit 2
  ;;
esac

while read -r name commit; do
  git init --quiet "$folder/$name"
  git -C "$folder/$name" fetch --quiet --depth 1 "$source/$name" "$commit"
  git -C "$folder/$name" -c advice.detachedHead=false checkout --quiet "$commit"
  echo "$name $commit" >&2
done <<'PROGRAMS'
metaperl/telegram-autotrader 4ea04c4bea0f933351d0e6b1592ce41d415f0227
Quantreo/MetaTrader-5-AUTOMATED-TRADING-using-Python aaf12ecb73d4c83774a54dac4ccb1da63aa773f8
jimtin/how_to_build_a_metatrader5_trading_bot_expert_advisor 7e972e85870baad65604741b3a19b4c82818f8d0
abhidp/tradingview-to-metatrader5 139a8595a353841dfe88771cfb54320d4489fe03
bbalouki/bbstrader 8ed1ffd76159069517563face10a9432c2ef0bc5
PROGRAMS
echo "$folder"
