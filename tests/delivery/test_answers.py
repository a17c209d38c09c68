"""A requestor of ours loses no answer to pynetdicom's own thread, and gives its own before it leaves."""

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]

from delivery.answers import keep_answers
from domain.checkpoint import Checkpoint


@pytest.fixture
def port() -> Iterator[int]:
    """Of a peer that takes nothing but C-ECHO."""
    ae = AE("PACS")
    ae.add_supported_context(Verification)
    server = ae.start_server(("127.0.0.1", 0), block=False)
    assert server is not None
    yield server.server_address[1]
    server.shutdown()


def associated(port: int, asked: str) -> Any:
    ae = AE("ANCILLA")
    ae.add_requested_context(asked)
    return ae.associate("127.0.0.1", port)


def test_its_thread_waits_at_a_checkpoint_that_tells_who_passed(port: int) -> None:
    association = keep_answers(associated(port, Verification))
    assert isinstance(association._reactor_checkpoint, Checkpoint)
    assert association._reactor_checkpoint.reached.is_set()
    assert [association.send_c_echo().Status for _ in range(3)] == [0x0000] * 3
    association.release()
    assert association.is_released


def test_one_whose_service_was_refused_is_not_waited_for(port: int) -> None:
    association = keep_answers(associated(port, StorageCommitmentPushModel))
    assert not association.is_established and association.rejected_contexts
    assert not isinstance(association._reactor_checkpoint, Checkpoint)


def test_what_is_being_answered_is_answered_before_the_release() -> None:
    done: list[str] = []
    begun, may_end = threading.Event(), threading.Event()

    def serve(_message: Any, _context: int) -> None:
        begun.set()
        assert may_end.wait(10)
        done.append("answered")

    association: Any = SimpleNamespace(is_established=False, _serve_request=serve, release=lambda: done.append("released"))
    keep_answers(association)
    answering = threading.Thread(target=association._serve_request, args=(None, 1))
    leaving = threading.Thread(target=association.release)
    answering.start()
    assert begun.wait(10)
    leaving.start()
    leaving.join(0.05)
    may_end.set()
    answering.join(10)
    leaving.join(10)
    assert done == ["answered", "released"]
