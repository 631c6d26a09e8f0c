#!/bin/sh
# Rebuild the page's vendored chart libraries from the versions locked in server/assets.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
assets="$root/server/assets"
vendor="$root/server/src/aitrading/server/dashboard/static/vendor"

npm ci --ignore-scripts --no-audit --no-fund --prefix "$assets"
rm -rf "$vendor"
mkdir -p "$vendor/lightweight-charts" "$vendor/uplot"
charts="$assets/node_modules/lightweight-charts"
cp "$charts/dist/lightweight-charts.standalone.production.mjs" "$vendor/lightweight-charts/lightweight-charts.mjs"
cp "$charts/LICENSE" "$vendor/lightweight-charts/LICENSE"
plots="$assets/node_modules/uplot"
cp "$plots/dist/uPlot.iife.min.js" "$vendor/uplot/uplot.js"
cp "$plots/dist/uPlot.min.css" "$vendor/uplot/uplot.css"
cp "$plots/LICENSE" "$vendor/uplot/LICENSE"
cp "$assets/node_modules/fancy-canvas/package.json" "$vendor/lightweight-charts/fancy-canvas.package.json"
cp "$assets/package-lock.json" "$vendor/versions.json"
(cd "$vendor" && find . -type f ! -name SHA256SUMS | LC_ALL=C sort | xargs sha256sum > SHA256SUMS)
echo "vendored into $vendor" >&2
