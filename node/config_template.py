"""The commented ``node.toml`` that ``ancilla init`` writes, and the table of the handbook: both made from the table of keys."""

import json
from typing import Any, Final

from node.config_keys import KEYS, OPTIONAL, REQUIRED, SECTIONS, TABLES, Key, keys_of

# What a new file has in place of the defaults, so that it works on one machine at once.
EXAMPLES: Final[dict[str, Any]] = {
    "node.institution": "General Hospital",
    "scp.tls.cert": "node.pem",
    "scp.tls.key": "node.key",
    "compute.tls.ca": "cluster-ca.pem",
    "compute.tls.cert": "cluster-node.pem",
    "compute.tls.key": "cluster-node.key",
    "peer.ae_title": "CT01",
    "peer.address": "127.0.0.1",
    "model.package": "chest-ct-opacity",
    "model.send_to": ["pacs"],
    "destination.name": "pacs",
    "destination.host": "127.0.0.1",
    "destination.port": 4242,
    "destination.ae_title": "ORTHANC",
}
_QUIET: Final = frozenset(
    {
        "destination.path",
        "destination.calling_ae",
        "destination.url",
        "destination.token_file",
        "destination.password_file",
        "destination.tls",
        "destination.ca_file",
        "destination.cert_file",
        "destination.key_file",
        "peer.port",
        "console.token_file",
        "console.admin_file",
        "audit.ca_file",
        "audit.cert_file",
        "audit.key_file",
    }
)  # written as comments
_WHEN: Final = """\
[model.when]                                     # every clause must hold; a missing attribute fails its clause
Modality = "CT"
ImageType = { excludes = "LOCALIZER" }           # text in any value; `contains` is the opposite
# BodyPartExamined = ["CHEST", "THORAX", "LUNG"] # any of; many scanners leave it empty
# SliceThickness = { max = 3.0 }                 # min, max or both
# SeriesDescription = { matches = "lung|thorax" } # regular expression
"""


def template() -> str:
    """The text of a new ``node.toml``."""
    parts = ["# Ancilla node. Relative paths are relative to this file; docs/configuration.md explains every key.\n"]
    for section, words in SECTIONS.items():
        head = f"[[{section}]]" if section in TABLES else f"[{section}]"
        lines = [_line(key) for key in keys_of(section).values() if key.kind is not dict]
        if section in OPTIONAL:
            head, lines = f"# {head}", [line if line.startswith("# ") else f"# {line}" for line in lines]
        parts.append("\n".join([f"# {words}", head, *lines]) + "\n")
        if section == "model":
            parts.append(_WHEN)
    return "\n".join(parts)


def _line(key: Key) -> str:
    value = EXAMPLES.get(key.path, key.default)
    mark = "# " if key.path in _QUIET else ""
    setting = f"{mark}{key.name} = {literal(value)}"
    return f"{setting:<48} # {key.comment}"


def literal(value: Any) -> str:
    """A value as TOML writes it; texts, numbers, booleans and lists of texts are spelt as in JSON."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)


def table() -> str:
    """One Markdown row per key: name, type, default, meaning. ``docs/configuration.md`` contains it word for word."""
    names = {str: "text", int: "whole number", float: "number", bool: "true/false", list: "list of texts", dict: "table"}
    rows = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    for key in KEYS:
        default = "(required)" if key.default is REQUIRED else f"`{literal(key.default)}`"
        kind = "list of tables" if key.items is dict else names[key.kind]
        rows.append(f"| `{key.path}` | {kind} | {default} | {key.comment} |")
    return "\n".join(rows)
