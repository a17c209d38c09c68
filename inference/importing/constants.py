"""Reads a MONAI configuration as data: references are followed, and of expressions only those made of constants are understood.

Nothing is evaluated: an expression is parsed, and anything but literals, references, ``a if b else c`` and sums stays ``Code``,
which is refused where its value is needed.
"""

import ast
import re
from dataclasses import dataclass
from typing import Any

from domain.errors import PackageError

_REFERENCE = re.compile(r"@([A-Za-z_][\w]*(?:(?:#|::)\w+)*)")
_DEEPEST = 40


@dataclass(frozen=True, slots=True)
class Code:
    """An expression that is not made of constants, and where it stands."""

    text: str
    where: str

    def refusal(self) -> PackageError:
        """What to say where its value is needed."""
        return PackageError(f"{self.where}: the expression {self.text[:80]!r} is code; only constants can be imported")


class _NotConstantError(Exception):
    """Inside one expression: it is no constant."""


def needed(value: Any) -> Any:
    """The value, when no ``Code`` is in it; raises PackageError."""
    if isinstance(value, Code):
        raise value.refusal()
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        needed(item)
    return value


class Configuration:
    """The top table of a bundle's ``inference.json``; values come out without references and expressions."""

    def __init__(self, data: Any, where: str) -> None:
        if not isinstance(data, dict):
            raise PackageError(f"{where} must be a table of keys and values")
        self._data, self._where = data, where

    def __contains__(self, key: str) -> bool:
        return key in self._data

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, all that is below it included; what is no constant is ``Code``. Raises PackageError."""
        return self.plain(self._data[key], key) if key in self._data else default

    def raw(self, key: str) -> Any:
        """The value as it is written, or None."""
        return self._data.get(key)

    def plain(self, value: Any, where: str, depth: int = 0) -> Any:
        """A value without references and expressions."""
        if depth > _DEEPEST:
            raise PackageError(f"{self._where}: {where}: references go round in a circle")
        if isinstance(value, dict):
            return {key: self.plain(item, f"{where}#{key}", depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [self.plain(item, f"{where}#{i}", depth + 1) for i, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        if value.startswith("$"):
            return self._expression(value, where, depth)
        match = _REFERENCE.fullmatch(value.replace("%", "@", 1) if value.startswith("%") else value)
        return self._followed(match[1], where, depth) if match else value

    def _followed(self, path: str, where: str, depth: int) -> Any:
        found: Any = self._data
        for part in re.split(r"#|::", path):
            if isinstance(found, list) and part.isdigit() and int(part) < len(found):
                found = found[int(part)]
            elif isinstance(found, dict) and part in found:
                found = found[part]
            else:
                raise PackageError(f"{self._where}: {where}: there is no '@{path}'")
        return self.plain(found, path, depth + 1)

    def _expression(self, text: str, where: str, depth: int) -> Any:
        names: dict[str, str] = {}

        def named(match: re.Match[str]) -> str:
            names[f"_reference_{len(names)}"] = match[1]
            return f"_reference_{len(names) - 1}"

        try:
            tree = ast.parse(_REFERENCE.sub(named, text[1:]).strip(), mode="eval").body
            return self._folded(tree, names, where, depth)
        except (SyntaxError, ValueError, RecursionError, MemoryError, _NotConstantError):
            return Code(text, f"{self._where}: {where}")

    def _folded(self, tree: ast.expr, names: dict[str, str], where: str, depth: int) -> Any:
        def fold(node: ast.expr) -> Any:
            found = self._folded(node, names, where, depth + 1)
            if isinstance(found, Code):
                raise _NotConstantError
            return found

        if isinstance(tree, ast.Constant):
            return tree.value
        if isinstance(tree, ast.Name) and tree.id in names:
            return self._followed(names[tree.id], where, depth)
        if isinstance(tree, ast.List | ast.Tuple):
            return [fold(node) for node in tree.elts]
        if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
            return _negative(fold(tree.operand))
        if isinstance(tree, ast.IfExp):
            return fold(tree.body) if fold(tree.test) else fold(tree.orelse)
        return _sum(*(fold(node) for node in _terms(tree)))


def _terms(tree: ast.expr) -> tuple[ast.expr, ast.expr]:
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add):
        return tree.left, tree.right
    raise _NotConstantError


def _negative(value: Any) -> Any:
    if isinstance(value, int | float):
        return -value
    raise _NotConstantError


def _sum(left: Any, right: Any) -> Any:
    for kind in (str, list, int | float):
        if isinstance(left, kind) and isinstance(right, kind) and not isinstance(left, bool):
            total: Any = left + right  # type: ignore[operator]
            return total
    raise _NotConstantError
