"""What an association costs before the first image: set-up and release with 128 presentation contexts proposed, as an archive
proposes them that does not know yet what it will send."""

import os
import random
import shutil
import socket
import statistics
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pynetdicom import StoragePresentationContexts
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE, ImplementationClassUIDNotification, MaximumLengthNotification
from pynetdicom.presentation import PresentationContext, build_context

from bench import priority
from bench.receivers import Receiver, ours, pynetdicom, storescp
from bench.rows import Row, UnmeasurableError, compare
from tests.serving import CALLER

NAME: Final = "association set-up and release"
ASSOCIATIONS: Final = 50  # one after the other
CONTEXTS: Final = 128  # as many as a request can hold (PS3.8 9.3.2.2)
SYNTAXES: Final = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")
RELEASE_RQ: Final = struct.pack(">BBL4x", 5, 0, 4)
ACCEPTED, RELEASED = 2, 6


def measure(rounds: int, folder: Path) -> Iterator[Row]:
    """Milliseconds per association. A fork per association is DCMTK's way to serve several at once, a thread is ours."""
    us, forking, stock = ours(), storescp("--fork"), pynetdicom()
    rivals = ((forking, 1 / 3), (stock, None))
    times: dict[str, list[float]] = {receiver.name: [] for receiver in (us, forking, stock)}
    order = random.Random(rounds)
    for _ in range(rounds):
        for receiver in order.sample((us, forking, stock), 3):
            times[receiver.name].append(_median(receiver, folder))
    for rival, target in rivals:
        name = f"{NAME} ({CONTEXTS} contexts)"
        yield compare(name, "ms", times[us.name], times[rival.name], rival.name, rival.version, target, more_is_better=False)


def _median(receiver: Receiver, folder: Path) -> float:
    with tempfile.TemporaryDirectory(dir=folder) as work:
        archive = Path(work, "archive")
        archive.mkdir()
        with receiver.start(archive) as (port, ae_title):
            request = _request(ae_title)
            with priority.first():
                samples = [_associate(port, request) for _ in range(ASSOCIATIONS)]
        shutil.rmtree(archive)
        os.sync()
    return statistics.median(samples)


def _associate(port: int, request: bytes) -> float:
    """Milliseconds from connecting to the answer to the release."""
    started = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for pdu, answer in ((request, ACCEPTED), (RELEASE_RQ, RELEASED)):
            connection.sendall(pdu)
            if (got := _answer(connection)) != answer:
                raise UnmeasurableError(f"an association was answered with PDU type {got} instead of {answer}")
    return (time.perf_counter() - started) * 1000


def _answer(connection: socket.socket) -> int:
    """The type of the next PDU, read to its end; 0 when the connection was closed."""
    with connection.makefile("rb") as stream:
        head = stream.read(6)
        if len(head) < 6:
            return 0
        kind, length = struct.unpack(">BxL", head)
        stream.read(length)
    return int(kind)


def _request(called: str) -> bytes:
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"  # type: ignore[assignment]  # the setter makes it a UID
    primitive.calling_ae_title, primitive.called_ae_title = CALLER, called
    proposed: list[PresentationContext] = []
    for number, known in enumerate(StoragePresentationContexts[:CONTEXTS]):
        assert known.abstract_syntax is not None
        context = build_context(known.abstract_syntax, list(SYNTAXES))
        context.context_id = 2 * number + 1
        proposed.append(context)
    primitive.presentation_context_definition_list = proposed
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received = 16384
    implementation.implementation_class_uid = "2.25.1"  # type: ignore[assignment]  # the same
    primitive.user_information = [length, implementation]
    return bytes(A_ASSOCIATE_RQ(primitive).encode())
