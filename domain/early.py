"""Work done on a study that is still arriving: what a worker is asked and what it says. No result depends on it."""

from dataclasses import dataclass

from domain.instances import Instance


@dataclass(frozen=True, slots=True)
class EarlyOrder:
    """Everything a worker needs to begin. Paths are absolute. It works while the file ``permit`` exists and ``seconds`` last."""

    package: str
    package_digest: str
    precision: str
    threads: int
    data_dir: str
    spool_dir: str
    cache_dir: str  # of this study and package
    permit: str
    seconds: float
    cache_bytes: int  # how much all studies together may keep
    instances: tuple[Instance, ...]  # those that are here already, of the series that match the rule
    streams: int = 0  # as in Order
    batch: int = 1


@dataclass(frozen=True, slots=True)
class EarlyAnswer:
    """``slices`` were computed and kept; ``complete``: nothing is left to do until more images come."""

    slices: int
    complete: bool
