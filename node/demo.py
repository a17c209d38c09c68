"""The main job end to end on one machine: a scanner sends, a node answers, a PACS receives; all three over real sockets."""

import shutil
import threading
import time
import tomllib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from db.audit import verify
from db.store import Store
from delivery import dicom
from domain.destinations import Destination, Sent
from domain.errors import ConfigurationError, PermanentError
from domain.jobs import Artifact, Job, JobKind, Outcome
from domain.moves import JobState, StudyState
from domain.studies import Study
from node.app import Node
from node.commands.audit import export
from node.config import find_package, parse
from node.config_template import literal
from node.files import StoredFile, find, unzip
from node.folder_pacs import FolderIntake
from node.ladder import kind_of, wanted
from node.profiles import PROFILES
from scp.receiver import Receiver
from scp.settings import ReceiverSettings

SAMPLES: Final = Path(__file__).resolve().parent / "sample"  # one .zip for each model that ships, named by its id
MARKER: Final = ".ancilla-demo"
SECONDS: Final = 900.0  # for everything after the last image
ENDED: Final = frozenset({JobState.DONE, JobState.DECLINED, JobState.FAILED, JobState.CANCELLED})
EXPECTED: Final = frozenset(wanted(Destination("pacs", "dicom", outputs=PROFILES["generic"].outputs)))  # it takes everything
T = TypeVar("T")
Tell = Callable[[str, int, int], None]  # what is going on, done, of


@dataclass(frozen=True, slots=True)
class Story:
    """What happened. Times are aware; ``files`` are the results that reached the PACS, by role."""

    study: Study
    sent_at: datetime
    images: int
    infer: Job
    delivery: Job | None
    summary: str
    outcome: Outcome
    files: dict[str, Path]
    missing: tuple[str, ...]  # results that were made and did not arrive
    audit_words: str
    audit_good: bool
    troubles: tuple[str, ...]

    @property
    def good(self) -> bool:
        """The report arrived, with everything else that was made, and the record is whole."""
        return "sr" in self.files and not self.missing and self.audit_good and self.outcome is not Outcome.FAILED


def prepare(out: Path) -> None:
    """An empty folder with our mark. Raises ConfigurationError for a folder with files that are not ours."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MARKER).is_file())):
        raise ConfigurationError(f"{out} was not made by `ancilla demo` and is left alone; choose another with --out")
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / MARKER).write_text("`ancilla demo` replaces this folder.\n")


def images(study_dir: Path | None, model_id: str, folder: Path) -> list[StoredFile]:
    """The images of one study: of ``study_dir``, else of the sample of the model. Raises PermanentError."""
    sample = SAMPLES / f"{model_id}.zip"
    if study_dir is None:
        if not sample.is_file():
            raise PermanentError(f"no sample study {sample} in this installation; name a folder: ancilla demo STUDY_DIR")
        folder.mkdir()
        unzip(sample, folder)
    studies = find([study_dir or folder]).by_study()
    if len(studies) != 1:
        raise PermanentError(f"{study_dir or sample} holds {len(studies)} studies; the demonstration sends exactly one")
    return next(iter(studies.values()))


def configuration(model: str, pacs_port: int) -> str:
    """The node.toml of the demonstration; it stays in the output folder to be read."""
    return f"""# Made by `ancilla demo`: everything on this machine, nothing listens to the outside.
[node]
data_dir = "./node"
institution = "Demonstration"

[scp]
ae_title = "ANCILLA"
bind = "127.0.0.1"
port = 0
reserve_gb = 0.1

[[peer]]
ae_title = "CT01"
address = "127.0.0.1"

[study]
quiet_seconds = 1

[[model]]
package = {literal(model)}
send_to = ["pacs"]

[[destination]]
name = "pacs"
host = "127.0.0.1"
port = {pacs_port}
ae_title = "PACS"
"""


class Demo:
    """One demonstration in ``out``. ``tell`` hears how far it is."""

    def __init__(self, model: str, out: Path, clock: Callable[[], datetime], tell: Tell) -> None:
        self._model, self._out, self._clock, self._tell = str(_named(model)), out, clock, tell
        self._pacs = FolderIntake(out / "pacs")

    def play(self, study_dir: Path | None) -> Story:
        """Send, wait, look at what arrived. Raises AncillaError when it cannot come to an end."""
        files = images(study_dir, Path(self._model).name.removesuffix(".zip"), self._out / "study")
        pacs = Receiver(ReceiverSettings("PACS", admit_unknown=True), self._pacs)
        port = pacs.start()
        try:
            return self._with_node(files, port)
        finally:
            pacs.stop()

    def _with_node(self, files: list[StoredFile], pacs_port: int) -> Story:
        text = configuration(self._model, pacs_port)
        (self._out / "node.toml").write_text(text, encoding="utf-8")
        node = Node(parse(tomllib.loads(text), (self._out / "node.toml").resolve()), self._clock)
        stop = threading.Event()
        loop = threading.Thread(target=node.run, args=(stop,), name="runner")
        port = node.start()
        loop.start()
        try:
            return self._scene(node.store, files, port)
        finally:
            stop.set()
            node.wake()
            loop.join()
            node.stop()

    def _scene(self, store: Store, files: list[StoredFile], port: int) -> Story:
        sent_at = self._clock()
        self._send(store, files, port)
        study = self._until("waiting for more images", lambda: _settled(store, files[0].header.study_uid))
        infer = self._until("analysing", lambda: _ended(store, study, JobKind.INFER))
        artifacts = store.artifacts(infer.job_id)
        delivery = self._until("delivering", lambda: _ended(store, study, JobKind.DELIVER)) if artifacts else None
        return self._story(store, study, sent_at, infer, delivery, artifacts)

    def _send(self, store: Store, files: list[StoredFile], port: int) -> None:
        scanner = Destination("node", "dicom", host="127.0.0.1", port=port, ae_title="ANCILLA", calling_ae="CT01")
        uid = files[0].header.study_uid
        with ThreadPoolExecutor(1, "scanner") as pool:
            future: Future[list[Sent]] = pool.submit(dicom.send, scanner, [file.path for file in files])
            while not future.done():
                study = store.study(uid)
                self._tell("sending", study.instances if study else 0, len(files))
                time.sleep(0.1)
            refused = [sent for sent in future.result() if not sent.accepted]
        if refused:
            raise PermanentError(
                f"the node refused {len(refused)} of {len(files)} files ({refused[0].status:#06x} {refused[0].comment})"
            )
        self._tell("sending", len(files), len(files))

    def _until(self, words: str, look: Callable[[], T | None]) -> T:
        deadline = time.monotonic() + SECONDS
        while (seen := look()) is None:
            if time.monotonic() > deadline:
                raise PermanentError(f"{words}: no end after {SECONDS:g} seconds; see {self._out / 'node'}")
            self._tell(words, 0, 0)
            time.sleep(0.1)
        return seen

    def _story(
        self, store: Store, study: Study, sent_at: datetime, infer: Job, delivery: Job | None, artifacts: list[Artifact]
    ) -> Story:
        arrived = {a.role: self._take(a) for a in artifacts if self._at_pacs(a).is_file()}
        audit_words, audit_good = self._audit(store)
        return Story(
            study=study,
            sent_at=sent_at,
            images=study.instances,
            infer=infer,
            delivery=delivery,
            summary=infer.summary or infer.reason,
            outcome=infer.outcome or Outcome.FAILED,
            files=arrived,
            missing=tuple(a.role for a in artifacts if kind_of(a.role) in EXPECTED and a.role not in arrived),
            audit_words=audit_words,
            audit_good=audit_good,
            troubles=tuple(self._pacs.troubles),
        )

    def _at_pacs(self, artifact: Artifact) -> Path:
        """The file as the PACS has it; what is not DICOM (the picture) stays where the node wrote it."""
        if artifact.sop_class_uid:
            return self._out / "pacs" / f"{artifact.sop_instance_uid}.dcm"
        return self._out / "node" / artifact.path

    def _take(self, artifact: Artifact) -> Path:
        source = self._at_pacs(artifact)
        return Path(shutil.copyfile(source, self._out / f"{artifact.role}{source.suffix}"))

    def _audit(self, store: Store) -> tuple[str, bool]:
        with (self._out / "audit.jsonl").open("w", encoding="utf-8") as stream:
            export(store.audit(), stream, "jsonl")
        verification = verify(store)
        return verification.words, verification.broken_seq is None


def _named(model: str) -> Path:
    return find_package(model, Path.cwd())


def _settled(store: Store, study_uid: str) -> Study | None:
    study = store.study(study_uid)
    return study if study is not None and study.state is StudyState.COMPLETE else None


def _ended(store: Store, study: Study, kind: JobKind) -> Job | None:
    jobs = store.jobs(study_uid=study.study_uid, kind=kind)
    if not jobs:
        raise PermanentError(f"the study is complete, but there is no {kind} job: no rule wanted it")
    return jobs[0] if all(job.state in ENDED for job in jobs) else None
