"""The head of every ``package.toml``: what the package is called, who made it, what it is for."""

import re
from dataclasses import dataclass

from domain.errors import PackageError
from domain.results import Code
from inference.keys import Table


@dataclass(frozen=True, slots=True)
class About:
    """Who says so, and what readers must know about it."""

    id: str
    version: str
    name: str
    manufacturer: str
    intended_use: str
    regulatory_status: str
    disclaimer: str
    procedure: Code


def read_about(table: Table) -> About:
    """The head keys of a ``package.toml``; raises PackageError."""
    if table.take("format") != 1:
        raise PackageError("package.toml: 'format' must be 1, the only one this version understands")
    return About(
        id=_pattern(table, "id", r"[a-z0-9][a-z0-9-]{0,47}", "letters a-z, digits and -, at most 48 characters"),
        version=_pattern(table, "version", r"(?=.{5,16}$)\d+\.\d+\.\d+", "three numbers such as 1.0.0"),
        name=table.text("name", 64),
        manufacturer=table.text("manufacturer", 64),
        intended_use=table.text("intended_use"),
        regulatory_status=table.text("regulatory_status"),
        disclaimer=table.text("disclaimer"),
        procedure=table.required_code("procedure"),
    )


def _pattern(table: Table, key: str, pattern: str, words: str) -> str:
    value = table.text(key)
    if not re.fullmatch(pattern, value, re.ASCII):
        raise table.wrong(key, words)
    return value
