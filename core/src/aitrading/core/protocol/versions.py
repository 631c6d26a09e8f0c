"""Versions of everything that crosses a process or a disk; docs/reference/formats.md explains."""

from typing import Final

LINK_VERSION: Final = 1
LINK_VERSIONS_SPOKEN: Final = (1,)
SEGMENT_VERSION: Final = 1
SEALED_SEGMENT_VERSION: Final = 2
