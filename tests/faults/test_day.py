"""24 hours of a busy department in minutes: memory, descriptors and threads of the node stay where they were."""

import random
from collections import Counter
from pathlib import Path

from delivery.association import Association
from domain.errors import TransientError
from tests import peers, serving
from tests.faults import kept
from tests.faults.images import image
from tests.faults.rounds import report, rounds
from tests.faults.senders import KIND, SIZES, destination, store
from tests.faults.vitals import Vitals, vitals
from tests.scp.wire import CT, EXPLICIT, IMPLICIT, VERIFICATION, EndedError, Sender

SEED = 20260105
VISITS = rounds(240, 6_000)  # associations of all kinds; a department of 300 studies a day has about 2,000
WARM = VISITS // 3
GROWTH = rounds(24_000, 32_000)  # KiB


class Day:
    """What comes in: studies, some twice, some cut off, strangers, echoes, probes."""

    def __init__(self, node: serving.Node) -> None:
        self.node, self.kinds = node, Counter[str]()
        self.acknowledged: dict[str, str] = {}
        self._random, self._studies = random.Random(SEED), 0

    def visit(self) -> None:
        """One association."""
        kind = self._random.choices(("study", "again", "cut", "stranger", "echo", "probe"), (55, 10, 10, 5, 15, 5))[0]
        self.kinds[kind] += 1
        getattr(self, kind)()

    def study(self) -> None:
        self._studies += 1
        self._send(self._studies)

    def again(self) -> None:
        self._send(self._random.randint(1, max(1, self._studies)))

    def _send(self, study: int) -> None:
        with Association(destination(self.node.port), [KIND]) as association:
            for number in range(1 + study % 10):
                one = image(1, 100 * study + number, study, SIZES[(study + number) % len(SIZES)])
                assert store(association, one) == 0
                self.acknowledged[one.uid] = one.digest

    def cut(self) -> None:
        """A sender that vanishes in the middle of an image."""
        one = image(2, self.kinds["cut"], self.kinds["cut"], 70_000)

        class Broken:
            def __init__(self) -> None:
                self.pieces = [one.data[:40_000]]

            def read(self, _: int) -> bytes:
                return self.pieces.pop() if self.pieces else b""

        try:
            with Association(destination(self.node.port), [KIND]) as association:
                association.store(KIND, one.uid, Broken(), len(one.data))  # type: ignore[arg-type]
        except TransientError:
            return
        raise AssertionError("half an image was acknowledged")

    def stranger(self) -> None:
        with Sender(self.node.port) as sender:
            try:
                sender.associate(calling=f"WHO{self.kinds['stranger'] % 50}")
            except EndedError as ended:
                assert ended.pdu[0] == 3
                return
        raise AssertionError("a stranger was let in")

    def echo(self) -> None:
        with Sender(self.node.port).associate(((CT, (EXPLICIT,)), (VERIFICATION, (IMPLICIT,))), calling=serving.CALLER) as sender:
            assert sender.echo(3) == 0
            sender.release()

    def probe(self) -> None:
        assert peers.listens(self.node.port)


def test_a_day_leaves_the_node_as_it_was(tmp_path: Path) -> None:
    node = serving.prepare(tmp_path, study={"quiet_seconds": 0.1})
    with serving.serving(node):
        assert node.process is not None
        day, course = Day(node), list[Vitals]()
        for number in range(VISITS):
            day.visit()
            if number >= WARM and (number - WARM) % (VISITS // 20) == 0:
                course.append(vitals(node.process.pid))
        peers.wait_for(lambda: settled(node), "the end of all studies", 60, node.alive)
        end = vitals(node.process.pid)
    report(associations=VISITS, images=len(day.acknowledged), **day.kinds)
    report(memory_kib=[one.memory for one in course], end=end)
    start = course[0]
    assert end.memory - start.memory < GROWTH
    assert end.threads <= start.threads + 1
    assert end.descriptors <= start.descriptors + 6
    assert max(one.descriptors for one in course) < 120
    kept.check(node, day.acknowledged)
    assert kept.strays(node) == []
    assert kept.serious(node) == []


def settled(node: serving.Node) -> bool:
    events = kept.events(node)
    return events["association-opened"] == events["association-closed"] and events["settled"] >= events["reopened"] + 1
