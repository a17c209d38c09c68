"""Progress bars on standard error, only when a person watches."""

import sys
from collections.abc import Collection, Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

T = TypeVar("T")


def bar() -> Progress:
    """A bar with words, counts and time; silent where standard error is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())


def gather(items: Iterable[T], words: str) -> list[T]:
    """All items of an iterator that takes its time."""
    found: list[T] = []
    with bar() as progress:
        task = progress.add_task(words, total=None)
        for item in items:
            found.append(item)
            progress.update(task, completed=len(found))
    return found


def steps(items: Collection[T], words: str) -> Iterator[T]:
    """The items, counted while they are worked on."""
    with bar() as progress:
        task = progress.add_task(words, total=len(items))
        for item in items:
            yield item
            progress.advance(task)
