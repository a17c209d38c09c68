"""Senders that vanish anywhere, by closing or by a reset: what was acknowledged stays, nothing half-stored, nothing leaks."""

import contextlib
import random
import socket
import sqlite3
import struct
from collections.abc import Iterator

import pytest

from tests import peers, serving
from tests.faults import kept
from tests.faults.images import Image, image
from tests.faults.rounds import report, rounds
from tests.faults.vitals import Vitals, vitals
from tests.scp.wire import CT, EXPLICIT, VERIFICATION, Sender, command, fragments, pdata, pdv, request

SEED = 20260102
WARM = 40  # studies: the node keeps 32 packs mapped
ROUNDS = rounds(4, 60)  # each of them cuts at every place, both ways


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[serving.Node]:
    with serving.serving(serving.prepare(tmp_path_factory.mktemp("vanishing"), study={"quiet_seconds": 0.2})) as running:
        yield running


def places(one: Image) -> dict[str, bytes]:
    """What a sender had sent when it vanished; "|" separates the request for the association from what follows it."""
    asked = pdata(pdv(1, 3, command(1, 1, CT, one.uid)))
    items = [pdata(item) for item in fragments(1, 2, one.data, 4000)]
    return {
        "before a byte": b"",
        "in the header of the request": request([(CT, (EXPLICIT,))])[:3],
        "in the request": request([(CT, (EXPLICIT,))], serving.CALLER)[:60],
        "after the association": b"|",
        "in the header of a PDU": b"|" + asked[:4],
        "in the command": b"|" + asked[:40],
        "in a command of two fragments": b"|" + pdata(pdv(1, 1, asked[12:60])),
        "between command and data": b"|" + asked,
        "in the header of an item": b"|" + asked + items[0][:9],
        "in the header of the data set": b"|" + asked + items[0][:30],
        "in a fragment": b"|" + asked + items[0] + items[1][:700],
        "between fragments": b"|" + asked + items[0] + items[1],
        "before the last fragment": b"|" + asked + b"".join(items[:-1]),
        "in the last byte": b"|" + asked + b"".join(items)[:-1],
        "before the response": b"|" + asked + b"".join(items),
        "in the release": b"|" + struct.pack(">BBL", 5, 0, 4) + b"\0",
    }


def cut(node: serving.Node, one: Image, sent: bytes, reset: bool, before: Image | None) -> None:
    """Send so much, after an image that is acknowledged, and go."""
    with Sender(node.port) as sender:
        if reset:
            sender.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if sent.startswith(b"|"):
            sender.associate(((CT, (EXPLICIT,)), (VERIFICATION, ("1.2.840.10008.1.2",))), calling=serving.CALLER)
            if before:
                assert sender.store(before.data, before.uid).status == 0
        with contextlib.suppress(ConnectionError):
            sender.send(sent.removeprefix(b"|"))


def ask(node: serving.Node, query: str, *values: str) -> int:
    connection = sqlite3.connect(f"file:{node.data / 'ancilla.db'}?mode=ro", uri=True, timeout=30)
    with contextlib.closing(connection):
        return int(connection.execute(query, values).fetchone()[0])


def open_associations(node: serving.Node) -> int:
    return ask(node, "SELECT count(*) FROM associations WHERE closed_at IS NULL")


def studies(node: serving.Node, state: str) -> int:
    return ask(node, "SELECT count(*) FROM studies WHERE state = ?", state)


def wait_until_settled(node: serving.Node, start: Vitals) -> None:
    """No more threads and descriptors than at the start (a reader more of the database has two), no association open."""

    def settled() -> bool:
        now = vitals(node.process.pid)  # type: ignore[union-attr]
        few = now.threads <= start.threads and now.descriptors <= start.descriptors + 4
        return few and not open_associations(node) and not studies(node, "receiving")

    try:
        peers.wait_for(settled, "the end of all threads and descriptors", 20, node.alive)
    except AssertionError as error:
        raise AssertionError(f"{error}: {start}, {vitals(node.process.pid)}") from None  # type: ignore[union-attr]


def test_a_sender_may_vanish_anywhere(node: serving.Node) -> None:
    random_, number, acknowledged, maybe = random.Random(SEED), 0, {}, set()
    for warming in range(WARM):
        cut(node, image(9, warming, warming), b"|", False, image(8, warming, warming))
    peers.wait_for(lambda: studies(node, "complete") == WARM and not open_associations(node), "the end of the first studies")
    start = vitals(node.process.pid)  # type: ignore[union-attr]
    for _ in range(ROUNDS):
        for place in places(image(1, 0, 0, 20_000)):
            for reset in (False, True):
                number += 1
                before = image(2, number, number)
                one = image(1, number, number, random_.choice([12_000, 20_000, 200_000]))
                sent = places(one)[place]
                cut(node, one, sent, reset, before)
                if sent.startswith(b"|"):
                    acknowledged[before.uid] = before.digest
                if place == "before the response":
                    maybe.add(one.uid)
    wait_until_settled(node, start)
    end = vitals(node.process.pid)  # type: ignore[union-attr]
    found = kept.check(node, acknowledged)
    warm = {image(8, warming, warming).uid for warming in range(WARM)}
    assert {row.uid for row in found} <= acknowledged.keys() | maybe | warm, "a part of an image was stored as an image"
    assert kept.torn(node) == []
    assert not [folder for folder in (node.data / "spool").glob("??/*") if not any(folder.iterdir())], "folders of no study"
    assert kept.strays(node) == []
    assert kept.serious(node) == []
    report(cut=number, acknowledged=len(acknowledged), threads=(start.threads, end.threads))
    report(descriptors=(start.descriptors, end.descriptors), memory_kib=(start.memory, end.memory))


def test_probes_that_only_connect_leave_nothing(node: serving.Node) -> None:
    start = vitals(node.process.pid)  # type: ignore[union-attr]
    for _ in range(rounds(100, 2000)):
        socket.create_connection(("127.0.0.1", node.port)).close()
    wait_until_settled(node, start)
    assert kept.serious(node) == []


def test_all_who_vanish_at_once_leave_room_for_the_next(node: serving.Node) -> None:
    one = image(3, 1, 1)
    asked = pdata(pdv(1, 3, command(1, 1, CT, one.uid))) + pdata(pdv(1, 0, one.data[:500]))
    with contextlib.ExitStack() as stack:
        for _ in range(10):  # as many as one peer may have
            stack.enter_context(Sender(node.port).associate(calling=serving.CALLER)).send(asked)
    peers.wait_for(lambda: not open_associations(node), "the end of all associations")
    with Sender(node.port).associate(calling=serving.CALLER) as sender:
        assert sender.store(one.data, one.uid).status == 0
        sender.release()
