"""Images that a worker has opened: those of one study that still arrives stay open between two visits."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from db.spool import Spool
from domain.errors import PermanentError
from domain.instances import Instance, Place
from inference.source import Source, open_source

MOST_OPEN: Final = 4000
_OPEN: dict[tuple[Place, str], Source] = {}


def taken(spool_dir: str, instances: Sequence[Instance]) -> list[Source]:
    """All of these, for good: nothing stays open afterwards. Raises PermanentError for bytes that are not there."""
    spool = Spool(Path(spool_dir))
    sources = [_OPEN.get(_name(instance)) or _open(spool, instance) for instance in instances]
    _OPEN.clear()
    return sources


def visited(spool_dir: str, instances: Sequence[Instance], go: Callable[[], bool]) -> list[Source]:
    """As many of these as can be opened while ``go`` says so; they, and no others, stay open."""
    spool = Spool(Path(spool_dir))
    names = {_name(instance): instance for instance in instances[:MOST_OPEN]}
    for name in _OPEN.keys() - names.keys():
        del _OPEN[name]
    for name, instance in names.items():
        if name not in _OPEN:
            try:
                _OPEN[name] = _open(spool, instance)
            except PermanentError:
                continue  # its bytes are not on disk yet
            if not go():
                break
    return [_OPEN[name] for name in names if name in _OPEN]


def _name(instance: Instance) -> tuple[Place, str]:
    return instance.place, instance.digest


def _open(spool: Spool, instance: Instance) -> Source:
    return replace(open_source(spool.view(instance.place)), digest=instance.digest)
