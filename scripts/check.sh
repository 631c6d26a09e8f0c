#!/usr/bin/env bash
# Everything that can be judged without running the platform. Fast, read-only, no network after set-up.
set -uo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin
told=$(mktemp -d)
trap 'rm -rf "$told"' EXIT

# Steps of one lane follow each other; the two lanes run side by side.
step() {
  local name=$1 started=$SECONDS output
  shift
  if output=$("$@" 2>&1); then
    printf '  ok    %-16s %3ds\n' "$name" $((SECONDS - started))
  else
    printf '  FAIL  %-16s %3ds\n%s\n' "$name" $((SECONDS - started)) "$output"
    touch "$told/$name"
  fi
}

# semgrep pins versions that the platform does not, so it lives in an environment of its own.
own_rules() {
  local lock=security/semgrep/requirements.txt home=.venv-semgrep
  if ! cmp -s "$lock" "$home/requirements.txt"; then
    "$bin/uv" venv --quiet --clear "$home" &&
      UV_SYSTEM_CERTS=1 "$bin/uv" pip install --quiet --require-hashes -p "$home/bin/python" -r "$lock" &&
      cp "$lock" "$home/requirements.txt" || return 1
  fi
  "$home/bin/semgrep" scan --quiet --error --metrics=off --disable-version-check --config security/semgrep/rules.yml core/src server/src client/src
}

dependencies() {
  local part
  for part in core server client; do (cd "$part" && "$bin/deptry" --no-ansi src) || return 1; done
}

# Tests are full of made-up passwords and digests, so there only the shapes of real keys count.
secrets() {
  local generated='^(uv\.lock|.*/static/vendor/|.*package-lock\.json|security/(semgrep|sslyze)/requirements\.txt|\.secrets\.baseline)' tests='(^|/)tests/'
  git ls-files -z | grep -zvE "$generated" | grep -zvE "$tests" | xargs -0 "$bin/detect-secrets-hook" --baseline .secrets.baseline &&
    git ls-files -z | grep -zE "$tests" | xargs -0 "$bin/detect-secrets-hook" --disable-plugin HexHighEntropyString \
      --disable-plugin Base64HighEntropyString --disable-plugin KeywordDetector --disable-plugin BasicAuthDetector --disable-plugin PrivateKeyDetector
}

sbom() {
  mkdir -p artifacts
  "$bin/uv" export --quiet --frozen --all-packages --no-default-groups --format cyclonedx1.5 --output-file artifacts/sbom.cdx.json
}

{
  step types "$bin/basedpyright" --level error
  step bandit "$bin/bandit" -q -r -c pyproject.toml core/src server/src client/src scripts
  step dead-code "$bin/vulture"
} &
step format "$bin/ruff" format --check .
step lint "$bin/ruff" check .
step imports "$bin/lint-imports" --no-cache
step secrets secrets
step semgrep own_rules
step dependencies dependencies
step sbom sbom
step lock "$bin/uv" lock --check --quiet
wait

failed=$(ls "$told")
if [ -n "$failed" ]; then
  printf '\ncheck failed: %s\n' "${failed//$'\n'/ }"
  exit 1
fi
