"""One visit of a worker to a study that still arrives: short, ended at once when a job wants the worker, and never needed."""

import time
from pathlib import Path

from domain.early import EarlyAnswer, EarlyOrder
from inference.kept import Kept, bound, size_of
from node.opened import visited
from node.work import analyser_for


def begin(order: EarlyOrder) -> EarlyAnswer:
    """Compute and keep what can be, and leave. Raises PackageError like the job itself would."""
    folder, permit = Path(order.cache_dir), Path(order.permit)
    if size_of(folder) > order.cache_bytes / 2:  # it would only be removed again
        return EarlyAnswer(0, complete=True)
    analyser = analyser_for(order)
    until = time.monotonic() + order.seconds

    def go() -> bool:
        return time.monotonic() < until and permit.exists()

    sources = visited(order.spool_dir, order.instances, go)
    if not go():
        return EarlyAnswer(0, complete=False)
    kept = Kept(folder)
    answer = analyser.begin(sources, kept, go)
    kept.save()
    if answer.slices:
        bound(folder.parents[1], order.cache_bytes)
    return answer
