"""An answer goes to who asked, not to pynetdicom's thread (``domain.checkpoint``); what we owe is answered before we leave."""

import threading
from typing import Any, Final

from pynetdicom.association import Association

from domain.checkpoint import Checkpoint

_SECONDS: Final = 5.0  # the thread comes by every millisecond


def keep_answers(association: Association) -> Association:
    """The same association, once established, as a requestor that loses no answer and cuts none of its own off."""
    checkpoint = Checkpoint(lambda held: setattr(association, "_is_paused", held))
    association._reactor_checkpoint = checkpoint  # type: ignore[assignment]  # an event in all that pynetdicom asks of it
    checkpoint.reached.wait(_SECONDS)  # from here on nobody is on his way through the old one
    _answer_before_release(association)
    return association


def _answer_before_release(association: Association) -> None:
    """An N-EVENT-REPORT is answered by a thread of its own: its handler may have told us already what we wait for."""
    answering, serve, release = threading.Lock(), association._serve_request, association.release

    def serve_alone(message: Any, context_id: int) -> None:
        with answering:
            serve(message, context_id)

    def release_alone() -> None:
        with answering:
            release()

    association._serve_request = serve_alone  # type: ignore[method-assign,assignment]
    association.release = release_alone  # type: ignore[method-assign]
