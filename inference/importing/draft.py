"""A package that is being made: what is known of a model, what is not, and how both are written to a folder and sealed."""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

from domain.errors import PackageError
from inference import golden, package

Toml = dict[str, Any]


@dataclass(slots=True)
class Draft:
    """``toml`` is ``package.toml`` without its head; ``network`` what the node runs; ``known`` and ``unknown`` are sentences for
    the model card: what the source says, and what it leaves open and was assumed."""

    source: str  # "MONAI bundle", ...
    name: str
    toml: Toml
    segments: list[list[dict[str, Any]]]
    report: dict[str, Any]
    network: ov.Model
    case: Mapping[str, npt.NDArray[Any]]
    version: str = "0.1.0"
    intended_use: str = "Imported model. What it is for must be written here by whoever answers for it."
    manufacturer: str = "unknown"
    procedure: tuple[str, str, str] = ("363679005", "SCT", "Imaging procedure")
    known: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def identifier(words: str) -> str:
    """a-z, 0-9 and -, at most 48 characters."""
    found = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:48].strip("-")
    return found or "model"


def write(draft: Draft, out: Path, model_id: str = "") -> str:
    """Writes the package to ``out`` (which must not exist), records its golden case and seals it; the digest.

    Raises PackageError when the package would not be one the node takes; then nothing is left behind.
    """
    if out.exists():
        raise PackageError(f"{out} exists already; give a folder that does not")
    model_id = model_id or identifier(draft.name)
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,47}", model_id):
        raise PackageError("the id must be made of a-z, 0-9 and -, at most 48 characters")
    try:
        _write(draft, out, model_id)
        golden.record(out)
        return package.seal(out)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise


def _write(draft: Draft, out: Path, model_id: str) -> None:
    (out / "golden").mkdir(parents=True)
    head = {
        "format": 1,
        "id": model_id,
        "version": draft.version,
        "name": _line(draft.name, 64),
        "manufacturer": _line(draft.manufacturer, 64),
        "intended_use": _line(draft.intended_use, 1024),
        "regulatory_status": "Imported model. Not a medical device; research use only",
        "disclaimer": "AI result, research use, not for primary diagnosis",
        "procedure": dict(zip(("value", "scheme", "meaning"), draft.procedure, strict=True)),
    }
    (out / "package.toml").write_text(toml({**head, **draft.toml}), "utf-8")
    (out / "segments.json").write_text(json.dumps({"segmentAttributes": draft.segments}, indent=2) + "\n", "utf-8")
    (out / "report.json").write_text(json.dumps(draft.report, indent=2) + "\n", "utf-8")
    (out / "MODEL_CARD.md").write_text(card(draft), "utf-8")
    ov.save_model(draft.network, out / "network.xml", compress_to_fp16=False)
    arrays: dict[str, Any] = dict(draft.case)
    np.savez_compressed(out / "golden" / "generated.npz", **arrays)


def _line(words: str, most: int) -> str:
    """One printable line."""
    line = "".join(c if c.isprintable() else " " for c in " ".join(words.split()))[:most].strip()
    return line or "unknown"


def card(draft: Draft) -> str:
    """The stub of a model card: facts, assumptions, and the questions nobody can answer from the files."""
    lines = [
        f"# {_line(draft.name, 64)}",
        "",
        f"Imported from: {draft.source}. This card is a stub; complete it before the model is used.",
        "",
    ]
    lines += [
        "## What the source says",
        "",
        *(f"- {_line(words, 600)}" for words in draft.known or ["nothing beyond the network"]),
        "",
    ]
    lines += ["## What it leaves open, and what was assumed", "", *(f"- {_line(words, 600)}" for words in draft.unknown), ""]
    lines += [
        "## To be written",
        "",
        "- Intended use, users, patients, and what the model must not be used for",
        "- Training and test data, and how far they differ from this site's",
        "- Performance, by subgroup, and how it was measured",
        "- Licence of the weights",
        "- The golden case is generated: it shows that this CPU computes what the importing one did, not that the model is right",
        "",
        "AI result, research use, not for primary diagnosis.",
        "",
    ]
    return "\n".join(lines)


def toml(data: Toml) -> str:
    """TOML 1.0 text of nested tables, lists of tables and plain values."""
    lines: list[str] = []
    _table(data, "", lines)
    return "\n".join(lines) + "\n"


def _table(data: Toml, where: str, lines: list[str]) -> None:
    plain = {key: value for key, value in data.items() if not _is_table(value)}
    lines += [f"{key} = {_value(value)}" for key, value in plain.items()]
    for key, value in data.items():
        path = f"{where}.{key}" if where else key
        if isinstance(value, dict):
            lines += ["", f"[{path}]"]
            _table(value, path, lines)
        elif key not in plain:
            for item in value:
                lines += ["", f"[[{path}]]"]
                _table(item, path, lines)


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and all(isinstance(v, dict) for v in value))


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int | float | np.integer | np.floating) and np.isfinite(value):
        return repr(int(value)) if isinstance(value, int | np.integer) else repr(float(value))
    raise PackageError(f"a value of {type(value).__name__} cannot be written to package.toml")
