"""Which of our environment variables children of our own may see."""

from collections.abc import Mapping

_PASSED_ON = ("PATH", "HOME", "USER", "TMPDIR", "SSL_CERT_FILE")
_PASSED_ON_PREFIXES = ("AITRADING_", "COVERAGE_")


def inherited_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Keep what a child needs; add what keeps its memory small."""
    kept = {
        name: value
        for name, value in environ.items()
        if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
    return {**kept, "LC_ALL": "C.UTF-8", "MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1"}
