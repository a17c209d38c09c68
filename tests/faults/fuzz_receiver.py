"""Coverage-guided fuzzing of what the network reaches, with atheris (libFuzzer); how to run it: docs/fuzzing.md.

    python -m tests.faults.fuzz_receiver pdus CORPUS -max_total_time=300 -max_len=8192

``pdus``: an input is what a sender writes on one connection. ``data-sets``: an input is a data set, its first byte chooses the
transfer syntax. An empty corpus is filled with valid conversations and data sets first. A crash is whatever a receiver or a
reader raises, a complaint in its log, a broken contract with the storage, or an input that takes longer than the limit.
"""

import random
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["scp", "pynetdicom", "pydicom", "inference", "node.geometry", "node.rules"]):
    from domain.instances import Caller
    from inference.source import integer, numbers, open_source, text, words
    from node.geometry import gap, plane
    from node.rules import parse_rule
    from scp.deposit import Announced, Depositor
    from scp.part10 import meta_bytes
    from tests.faults.feeding import Complaints, Feeder

from tests.faults import data_sets, streams
from tests.scp.wire import EXPLICIT, IMPLICIT

CALLER = Caller("CT01", "ANCILLA", "127.0.0.1")
SYNTAXES = (EXPLICIT, IMPLICIT, data_sets.BIG, data_sets.DEFLATED, data_sets.JPEG)
RULE = parse_rule({"Modality": "CT", "SliceThickness": {"max": 5.0}, "ImageType": {"excludes": ["LOCALIZER"]}}, "when")


class Conversations:
    """Target ``pdus``."""

    def __init__(self) -> None:
        self._feeder, self._complaints = Feeder(), Complaints()

    def seeds(self) -> list[bytes]:
        random_ = random.Random(1)
        return [b"".join(streams.conversation(random_)) for _ in range(40)]

    def __call__(self, data: bytes) -> None:
        streams.split(self._feeder.feed(data))
        assert not self._feeder.intake.open and not self._feeder.intake.writers
        assert not self._complaints.lines, self._complaints.lines


class DataSets:
    """Target ``data-sets``."""

    def __init__(self) -> None:
        self._feeder, self._complaints = Feeder(), Complaints()

    def seeds(self) -> list[bytes]:
        found = [data_sets.valid(kind) for kind in range(14)]
        return [bytes((SYNTAXES.index(syntax),)) + data for syntax, data in found]

    def __call__(self, data: bytes) -> None:
        intake = self._feeder.intake
        syntax, body = SYNTAXES[data[0] % len(SYNTAXES)] if data else EXPLICIT, data[1:]
        association_id = intake.opened(CALLER)
        deposit = Depositor(intake, CALLER, association_id, 1 << 30).begin(Announced("", "", syntax))
        for start in range(0, len(body), 777):
            deposit.write(body[start : start + 777])
        status = deposit.finish().status
        intake.closed(association_id, "released")
        assert not intake.writers and not self._complaints.lines, self._complaints.lines
        if status == 0:
            self._read(meta_bytes(deposit._head.header(), "CT01") + body)

    def _read(self, file: bytes) -> None:
        source = open_source(file)
        for keyword in ("Modality", "PixelSpacing", "ImagePositionPatient", "ImageType", "PatientName"):
            text(source.header, keyword), words(source.header, keyword), integer(source.header, keyword)
            numbers(source.header, keyword, 3)
        RULE.wants(source.header)
        gap([plane(memoryview(file))] * 6)


def main() -> None:
    """``fuzz_receiver pdus|data-sets CORPUS`` and options of libFuzzer."""
    target = {"pdus": Conversations, "data-sets": DataSets}[sys.argv.pop(1)]()
    corpus = Path(sys.argv[1])
    corpus.mkdir(parents=True, exist_ok=True)
    if not any(corpus.iterdir()):
        for number, seed in enumerate(target.seeds()):
            (corpus / f"seed-{number:02d}").write_bytes(seed)
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
