"""How many images of a study the PACS has, asked in the background: a slow PACS holds up no other study."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass

from db.store import Store
from domain.completeness import Hold, HoldKind
from domain.destinations import Destination
from domain.errors import AncillaError
from domain.studies import Study
from node.log import study_mark, warn

Count = Callable[[Destination, str], int | None]


@dataclass(frozen=True, slots=True)
class _Asked:
    revision: int
    instances: int
    answers: tuple[tuple[str, Future[int | None]], ...]


class Counting:
    """Asks each destination with ``count = true``. ``destinations`` is looked at again for every study."""

    def __init__(
        self,
        store: Store,
        destinations: Callable[[], Sequence[Destination]],
        count: Count,
        wake: Callable[[], None],
        lane: Executor | None = None,
    ) -> None:
        self._store, self._destinations, self._count, self._wake = store, destinations, count, wake
        self._lane = lane or ThreadPoolExecutor(2, "counting")
        self._asked: dict[str, _Asked] = {}

    def lacks(self, study: Study) -> list[Hold] | None:
        """Where there are more images of it than here; None while the answers are awaited."""
        targets = [target for target in self._destinations() if target.count]
        if not targets:
            return []
        asked = self._asked.get(study.study_uid)
        if asked is None or (asked.revision, asked.instances) != (study.revision, study.instances):
            asked = self._asked[study.study_uid] = self._ask(study, targets)
        if not all(answer.done() for _, answer in asked.answers):
            return None
        del self._asked[study.study_uid]
        return [hold for name, answer in asked.answers if (hold := self._judged(study, name, answer))]

    def stop(self) -> None:
        """What is not answered yet is not waited for."""
        self._lane.shutdown(wait=False, cancel_futures=True)

    def _ask(self, study: Study, targets: Sequence[Destination]) -> _Asked:
        answers = tuple((target.name, self._lane.submit(self._count, target, study.study_uid)) for target in targets)
        for _, answer in answers:
            answer.add_done_callback(lambda _: self._wake())
        return _Asked(study.revision, study.instances, answers)

    def _judged(self, study: Study, name: str, answer: Future[int | None]) -> Hold | None:
        """A PACS that cannot be asked, or does not count, says nothing."""
        try:
            there = answer.result()
        except AncillaError as error:
            warn("not-counted", destination=name, study=study_mark(study.study_uid), error=type(error).__name__)
            return None
        if there is None:
            return None
        there -= self._store.delivered(study.study_uid, name)  # our own results
        if there <= study.instances:
            return None
        return Hold(HoldKind.PACS_COUNT, name, f"{there - study.instances} of {there} images that {name} has are not here")
