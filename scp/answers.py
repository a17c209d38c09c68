"""The answer to a commitment report goes to who sent it, not to pynetdicom's own thread (see ``domain.checkpoint``)."""

from typing import Final

from pynetdicom.association import Association

from domain.checkpoint import Checkpoint

_SECONDS: Final = 5.0  # the thread comes by every millisecond


def keep_answers(association: Association) -> Association:
    """The same association, once established, as a requestor that loses no answer."""
    checkpoint = Checkpoint(lambda held: setattr(association, "_is_paused", held))
    association._reactor_checkpoint = checkpoint  # type: ignore[assignment]  # an event in all that pynetdicom asks of it
    checkpoint.reached.wait(_SECONDS)  # from here on nobody is on his way through the old one
    return association
