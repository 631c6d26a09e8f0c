"""`fuzz_program.py NAME CORPUS [libFuzzer options]`: one decoder, guided by coverage, until its time is over."""

import importlib
import sys
from pathlib import Path
from typing import Any

atheris: Any = importlib.import_module("atheris")
with atheris.instrument_imports(include=["aitrading.core", "decoders"]):
    decoders: Any = importlib.import_module("decoders")

if __name__ == "__main__":
    name, corpus, *options = sys.argv[1:]
    known = decoders.DECODERS.get(name) or decoders.Decoder(decoders.planted, lambda: [b"seed"])
    for number, seed in enumerate(known.seeds()):
        (Path(corpus) / f"seed-{number}").write_bytes(seed)
    atheris.Setup([sys.argv[0], *options, corpus], lambda data: decoders.run(known.decode, data))
    atheris.Fuzz()
