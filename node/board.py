"""What the pages of the console show, from the store and the settings that count now: the same facts the commands tell."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, Protocol

from console.board import Callers, DestinationLine, ModelLine, Overview, Proof, StudyFile, StudyLine
from console.exposition import Family
from db.store import Store
from domain.acceptance import Trial
from domain.audit import AuditRow
from domain.errors import PackageError
from domain.jobs import Job, Outcome, model_name
from domain.moves import JobState, StudyState
from node import overview
from node.config import PeerSettings, Settings
from node.loaded import Model
from node.metrics import Metrics
from node.proving import Proving

NOTHING: Final = "nothing is said"


class Accepted(Protocol):
    """What is needed of ``node.accepting.Accepting``."""

    def chosen(self, digest: str) -> Trial:
        """How a package runs. Raises PackageError that says why not, or not yet."""

    def refusal(self, digest: str) -> str:
        """Why it may not; "" for all others."""


class Board:
    """Implements ``console.board.Board``. ``settings``, ``models`` and ``listed`` (the peers of the file) give what counts now;
    ``accepting`` knows which packages run."""

    def __init__(
        self,
        store: Store,
        settings: Callable[[], Settings],
        models: Callable[[], Sequence[Model]],
        listed: Callable[[], Sequence[PeerSettings]],
        accepting: Accepted,
        clock: Callable[[], datetime],
    ) -> None:
        self._store, self._settings, self._models, self._listed = store, settings, models, listed
        self._accepting, self._clock = accepting, clock
        self._proving = Proving(settings().node.database, clock)
        self._metrics = Metrics(store, settings, models, clock)

    def close(self) -> None:
        """Nothing is asked any more."""
        self._proving.close()

    def overview(self) -> Overview:
        """See ``console.board.Board``."""
        return overview.overview(self._settings(), self._store, self._clock())

    def destinations(self) -> list[DestinationLine]:
        """See ``console.board.Board``."""
        return overview.destinations(self._settings(), self._store)

    def studies(self, limit: int, state: StudyState | None, before: tuple[datetime, str] | None) -> list[StudyLine]:
        """See ``console.board.Board``."""
        return overview.lines(self._store, self._store.studies(limit, state, before=before))

    def find(self, uid: str) -> str:
        """See ``console.board.Board``."""
        return self._store.find_study(uid)

    def study(self, uid: str) -> StudyFile | None:
        """See ``console.board.Board``."""
        return overview.study_file(self._settings(), self._store, uid)

    def jobs(self, limit: int, state: JobState | None, before: int | None) -> list[Job]:
        """See ``console.board.Board``."""
        return self._store.jobs(state=state, limit=limit, before=before)

    def models(self) -> list[ModelLine]:
        """See ``console.board.Board``."""
        outcomes = self._store.recent_outcomes()
        return [
            self._line(model, {outcome: n for (name, outcome), n in outcomes.items() if name == model.name})
            for model in self._models()
        ]

    def audit(self, limit: int, event: str | None, study_uid: str | None, before: int | None) -> list[AuditRow]:
        """See ``console.board.Board``."""
        return self._store.newest(limit, event, study_uid, before)[::-1]

    def callers(self) -> Callers:
        """See ``console.board.Board``."""
        peers = [(peer.ae_title.strip(), peer.address) for peer in self._listed()]
        return Callers(self._store.strangers(), self._store.admissions(), peers)

    def proof(self) -> Proof:
        """See ``console.board.Board``."""
        return self._proving.proof()

    def prove(self) -> None:
        """See ``console.board.Board``."""
        self._proving.prove()

    def metrics(self) -> list[Family]:
        """See ``console.board.Board``."""
        return self._metrics.families()

    def _line(self, model: Model, outcomes: dict[Outcome, int]) -> ModelLine:
        about = model.about
        return ModelLine(
            key=model.name,
            name=model_name(about.name, model.shadow) if about else model.name,
            version=model.version,
            digest=model.digest,
            intended_use=about.intended_use if about else NOTHING,
            regulatory_status=about.regulatory_status if about else NOTHING,
            disclaimer=about.disclaimer if about else NOTHING,
            runs=self._runs(model.digest),
            refused=bool(self._accepting.refusal(model.digest)),
            send_to=model.settings.send_to,
            shadow=model.shadow,
            outcomes=outcomes,
            card=model.card,
        )

    def _runs(self, digest: str) -> str:
        try:
            return f"runs in {self._accepting.chosen(digest).precision.upper()}"
        except PackageError as error:
            return str(error)
