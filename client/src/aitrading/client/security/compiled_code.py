"""Whether Python's cache of compiled code is what the source compiles to.

A changed `.pyc` beside an unchanged source runs instead of it, and no list of sources shows that.
Only a file that the interpreter would load counts: one whose head does not fit its source is stale
and never runs.
"""

import importlib.util
import marshal
import sys
from pathlib import Path
from typing import Final

_HEAD_BYTES: Final = 16
_CHECKED: Final = 0b11
_UNCHECKED: Final = 0b01


def source_of(compiled: Path) -> Path | None:
    """The source that a cached file belongs to; None when this interpreter would not look at it."""
    try:
        source = Path(importlib.util.source_from_cache(str(compiled)))
    except ValueError:
        return None
    return source if f".{sys.implementation.cache_tag}." in compiled.name else None


def is_faithful(compiled: Path, source: Path) -> bool:
    """Whether it is stale, or exactly what the source compiles to."""
    data, text = compiled.read_bytes(), source.read_bytes()
    head, body = data[:_HEAD_BYTES], data[_HEAD_BYTES:]
    if len(head) < _HEAD_BYTES or not _would_run(head, source, text):
        return True
    level = {".opt-1": 1, ".opt-2": 2}.get(Path(compiled.stem).suffix, 0)
    wanted = compile(text, str(source), "exec", dont_inherit=True, optimize=level)
    try:
        # The interpreter would load it, and run it, without asking.
        loaded = marshal.loads(body)  # noqa: S302  # nosec B302  # nosemgrep: no-code-from-data
        return bool(loaded == wanted)
    except (ValueError, EOFError, TypeError):
        return False


def _would_run(head: bytes, source: Path, text: bytes) -> bool:
    """As the interpreter decides it."""
    if head[:4] != importlib.util.MAGIC_NUMBER:
        return False
    flags = int.from_bytes(head[4:8], "little")
    if flags == _UNCHECKED:
        return True
    if flags == _CHECKED:
        return head[8:] == importlib.util.source_hash(text)
    state = source.stat()
    moment = int(state.st_mtime) & 0xFFFFFFFF
    size = state.st_size & 0xFFFFFFFF
    return flags == 0 and head[8:] == moment.to_bytes(4, "little") + size.to_bytes(4, "little")
