"""The `group` filter of the terminal's calls."""

from fnmatch import fnmatchcase


def matches(name: str, group: str) -> bool:
    """Apply the masks from left to right: `"*,!*USD*"` is everything without `USD`."""
    included = False
    for mask in map(str.strip, group.split(",")):
        excludes = mask.startswith("!")
        if fnmatchcase(name, mask.removeprefix("!")):
            included = not excludes
    return included
