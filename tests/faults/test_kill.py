"""`kill -9` at random moments, while starting and under load: whatever was acknowledged is there afterwards, once."""

import random
import shutil
import threading
from pathlib import Path

from tests import peers, serving
from tests.faults import kept
from tests.faults.rounds import report, rounds
from tests.faults.senders import Scanner

SEED = 20260101
KILLS = rounds(12, 200)
CEILING = 150 * KILLS  # images per sender: the disk is not what is tested


def test_kill_at_random_moments_loses_nothing_acknowledged_and_doubles_nothing(tmp_path: Path) -> None:
    node = serving.prepare(tmp_path, study={"quiet_seconds": 0.2})
    scanners = [Scanner(number, node.port, SEED, CEILING) for number in range(1, 5)]
    for scanner in scanners:
        scanner.start()
    try:
        starting = kill_and_start(node, random.Random(SEED))
        for scanner in scanners:
            scanner.finish()
        for scanner in scanners:
            scanner.join(60)
            assert not scanner.is_alive(), f"what was not acknowledged could not be sent again\n{kept.dump(node)}"
        assert node.alive()
    finally:
        for scanner in scanners:
            scanner.finish()
        node.stop()
    sent = {uid: digest for scanner in scanners for uid, digest in scanner.book.sent.items()}
    acknowledged = {uid: digest for scanner in scanners for uid, digest in scanner.book.acknowledged.items()}
    assert acknowledged == sent
    assert len(sent) > 10 * KILLS
    assert sum(scanner.book.lost for scanner in scanners) >= KILLS, "the kills hit senders at work"
    found = kept.check(node, acknowledged)
    assert {row.uid for row in found} == sent.keys()
    assert kept.strays(node) == []
    happened = kept.events(node)
    report(kills=KILLS, while_starting=starting, images=len(sent), recovered=happened["recovered"], torn=happened["torn"])
    shutil.rmtree(node.data)


def kill_and_start(node: serving.Node, random_: random.Random) -> int:
    """All the kills; the node listens afterwards. How many came before it listened."""
    starting, pause = 0, threading.Event()
    for _ in range(KILLS):
        node.start()
        if random_.random() < 0.25:
            pause.wait(random_.uniform(0.0, 1.5))
            starting += not peers.listens(node.port)
        else:
            node.wait()
            pause.wait(random_.expovariate(2.0))
        assert node.alive(), f"the node ended by itself\n{node.log()[-3000:]}"
        node.kill()
    node.start()
    node.wait()
    return starting
