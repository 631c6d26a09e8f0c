"""Decoders of untrusted bytes, fuzzed for as long as a campaign says: `make prove ONLY=fuzz-decoders`.

Inputs that reached something new stay in `artifacts/fuzz`; the next run goes on with them.
"""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from aitrading.core.testing.campaign import first_seed, points, report

PROGRAM: Final = Path(__file__).with_name("fuzz_program.py")
CORPORA: Final = PROGRAM.parents[2] / "artifacts" / "fuzz"
DECODERS: Final = (
    "link-frame", "link-body", "server-session", "client-session", "ingest-record",
    "spool-segment", "sealed-segment", "headers",
)  # fmt: skip
USUAL_S: Final = 1
LONGEST_INPUT_BYTES: Final = 20_000
SLOWEST_INPUT_S: Final = 10

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("atheris") is None,
        reason="atheris is not installed; `make prove` installs it where it can",
    ),
    pytest.mark.timeout(240 + len(DECODERS) * 2 * points(USUAL_S)),
]


def fuzz(name: str, corpus: Path, artifacts: Path, seconds: int) -> tuple[int, str]:
    """Fuzz one decoder; gives the exit code and what libFuzzer said."""
    corpus.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [
            *(sys.executable, str(PROGRAM), name, str(corpus)),
            *(f"-max_total_time={seconds}", f"-seed={first_seed()}", "-rss_limit_mb=2048"),
            *(f"-max_len={LONGEST_INPUT_BYTES}", f"-timeout={SLOWEST_INPUT_S}"),
            f"-artifact_prefix={artifacts}/",
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return done.returncode, done.stderr + done.stdout


def test_no_decoder_does_anything_but_read_or_refuse(tmp_path: Path) -> None:
    counted = dict.fromkeys(DECODERS, 0)
    for name in DECODERS:
        code, said = fuzz(name, CORPORA / name, tmp_path, points(USUAL_S))
        assert code == 0, said[-4_000:]
        [runs] = re.findall(r"Done (\d+) runs", said)
        counted[name] = int(runs)
    assert all(counted.values())
    report(counted)


def test_a_planted_fault_is_found(tmp_path: Path) -> None:
    code, said = fuzz("planted", tmp_path / "corpus", tmp_path, 60)
    assert code != 0
    assert "KeyError" in said
    assert [path.read_bytes()[:4] for path in tmp_path.glob("crash-*")] == [b"AITL"]
