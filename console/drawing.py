"""Pages as HTML: every value is escaped by Jinja2 unless a template of ours says otherwise, and none does."""

from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydicom.uid import UID

DISCLAIMER: Final = "AI results are for research use, not for primary diagnosis."
_TEMPLATES: Final = Path(__file__).parent / "templates"
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")


def when(at: datetime | None) -> str:
    """Local time, to the second."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else ""


def age(span: timedelta | None) -> str:
    """A span in the two largest units that it has, without fractions."""
    if span is None:
        return ""
    left = max(int(span.total_seconds()), 0)
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if left >= size or (unit == "s" and not parts):
            parts.append(f"{left // size} {unit}")
        left %= size
    return " ".join(parts[:2])


def bulk(size: float) -> str:
    """Bytes with a decimal unit."""
    for unit in _UNITS[:-1]:
        if abs(size) < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} {_UNITS[-1]}"


def sop_class(uid: str) -> str:
    """The name of a SOP Class, or its UID when the Standard does not know it."""
    return UID(uid).name


class Drawing:
    """The templates, read once."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {"when": when, "age": age, "bulk": bulk, "sop_class": sop_class}
        self._environment.globals |= {"version": version("ancilla"), "disclaimer": DISCLAIMER}

    def page(self, template: str, **values: Any) -> str:
        """One page."""
        return self._environment.get_template(f"{template}.html").render(**values)

    def style(self) -> str:
        """The one style sheet."""
        return (_TEMPLATES / "style.css").read_text(encoding="utf-8")
