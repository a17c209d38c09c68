"""Viewer profiles: which results suit the software at the other end, as data; ``outputs`` in the configuration overrides.

What each viewer shows was tried in the viewer itself; docs/dicom-results.md has the table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Profile:
    """``volumetric``: the report of volumes, whose groups have no coordinates, goes with the main report."""

    outputs: tuple[str, ...]
    volumetric: bool
    why: str


PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        "generic": Profile(
            ("sr", "seg", "sc"), True, "nobody knows what it shows: report, segments, and a picture that everything shows"
        ),
        "ohif": Profile(("sr", "seg"), False, "shows both; a report whose groups have no coordinates blanks its viewport"),
        "weasis": Profile(("sr", "seg", "gsps"), True, "shows segments, presentation states, and reports as text"),
        "slim": Profile(("sr", "seg", "ann"), False, "shows bulk annotations and tiled segments on slides"),
        "legacy": Profile(("sc", "pdf"), False, "shows images and documents, and nothing that came after them"),
    }
)
