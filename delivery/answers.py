"""An answer goes to who asked, not to pynetdicom's thread (``domain.checkpoint``); what we owe is answered before we leave."""

import threading
from typing import Any

from pynetdicom.association import Association

from domain.checkpoint import guard


def keep_answers(association: Association) -> Association:
    """The same association as a requestor that loses no answer and cuts none of its own off."""
    guard(association)
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
