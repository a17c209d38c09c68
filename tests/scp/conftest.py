"""A receiver on a free port, with a recording intake behind it, by the stock and by the fast path."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from scp.receiver import Receiver
from scp.settings import Peer, ReceiverSettings
from tests.scp.recording_intake import RecordingIntake
from tests.scp.wire import Sender


@dataclass
class Running:
    """A started receiver."""

    receiver: Receiver
    intake: RecordingIntake
    port: int

    def sender(self) -> Sender:
        return Sender(self.port)


Start = Callable[..., Running]


@pytest.fixture(params=["stock", "fast"])
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    """Starts receivers; keywords are those of ReceiverSettings."""
    running: list[Running] = []

    def begin(**settings: object) -> Running:
        given = {"peers": (Peer("CT01"),), "stop_seconds": 2.0, "fast_path": request.param == "fast"} | settings
        intake = RecordingIntake()
        receiver = Receiver(ReceiverSettings("ANCILLA", **given), intake)  # type: ignore[arg-type]
        running.append(Running(receiver, intake, receiver.start()))
        return running[-1]

    yield begin
    for one in running:
        one.receiver.stop()
        assert one.intake.open_writers == 0
        assert len(one.intake.named("opened")) == len(one.intake.named("closed")) + len(one.intake.named("opened-failed"))
