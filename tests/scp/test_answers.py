"""A requestor of ours loses no answer to pynetdicom's own thread."""

from collections.abc import Callable
from typing import Any

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

import delivery.answers
import scp.answers
from domain.checkpoint import Checkpoint
from tests.scp.conftest import Start


@pytest.mark.parametrize("keep", [scp.answers.keep_answers, delivery.answers.keep_answers])
def test_its_thread_waits_at_a_checkpoint_that_tells_who_passed(start: Start, keep: Callable[[Any], Any]) -> None:
    ae = AE("CT01")
    ae.add_requested_context(Verification)
    association = keep(ae.associate("127.0.0.1", start().port, ae_title="ANCILLA"))
    checkpoint = association._reactor_checkpoint
    assert isinstance(checkpoint, Checkpoint)
    assert checkpoint.reached.is_set()
    assert [association.send_c_echo().Status for _ in range(3)] == [0x0000] * 3
    association.release()
    assert association.is_released
