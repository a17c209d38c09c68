"""One section of a configuration against the table of keys: what is wrong is said in one sentence that names the key."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from domain.errors import ConfigurationError
from node.config_keys import REQUIRED, SECTIONS, TABLES, Key, keys_of

_WORDS = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list of texts",
    dict: "a table",
}


def near(word: str, known: Iterable[str]) -> str:
    """A hint for a misspelt word, or nothing."""
    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f'; did you mean "{by_lower[found[0]]}"?' if found else ""


def check_sections(document: Mapping[str, Any]) -> None:
    """Raises ConfigurationError for a section that is unknown or written with the wrong brackets."""
    for name, value in document.items():
        if name not in SECTIONS:
            raise ConfigurationError(f"unknown section [{name}]{near(name, SECTIONS)}")
        blocks = value if isinstance(value, list) else [value]
        if isinstance(value, list) != (name in TABLES) or not all(isinstance(block, dict) for block in blocks):
            raise ConfigurationError(f"{name} must be written {f'[[{name}]]' if name in TABLES else f'[{name}]'}")


def read_section(section: str, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """All values of one section, defaults filled in. ``where`` names it in errors ("scp", "peer[2]")."""
    keys = keys_of(section)
    for name in given:
        _known(name, keys, where)
    return {name: _value(key, given.get(name, key.default), f"{where}.{name}") for name, key in keys.items()}


def _known(name: str, keys: Mapping[str, Key], where: str) -> None:
    if name not in keys:
        raise ConfigurationError(f"unknown key {where}.{name}{near(name, keys)}")


def _value(key: Key, value: Any, path: str) -> Any:
    if value is REQUIRED:
        raise ConfigurationError(f"{path} is missing: {key.comment}")
    if key.kind is float and type(value) is int:
        value = float(value)
    if type(value) is not key.kind or (isinstance(value, list) and not all(isinstance(item, key.items) for item in value)):
        raise ConfigurationError(f"{path} must be {'a list of tables' if key.items is dict else _WORDS[key.kind]}")
    if problem := key.check(value):
        raise ConfigurationError(f"{path} {problem}")
    return value
