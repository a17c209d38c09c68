"""Who closes a checkpoint knows whether somebody is in front of it or behind."""

import threading

from domain.checkpoint import Checkpoint
from tests import peers


class Walker:
    """Believes himself held in front of the checkpoint, as pynetdicom's thread says of itself before it waits."""

    def __init__(self) -> None:
        self.held = True
        self.checkpoint = Checkpoint(self.tell)

    def tell(self, held: bool) -> None:
        self.held = held


def walking(walker: Walker) -> threading.Thread:
    """On his way to the checkpoint."""
    thread = threading.Thread(target=walker.checkpoint.wait, daemon=True)
    thread.start()
    assert walker.checkpoint.reached.wait(10)
    return thread


def test_who_went_through_has_said_so_before_anybody_can_close_it() -> None:
    walker = Walker()
    walker.checkpoint.wait()
    walker.checkpoint.clear()
    assert not walker.held  # with an event he still believes himself held here, and takes what comes next


def test_nobody_goes_through_while_it_is_closed() -> None:
    walker = Walker()
    walker.checkpoint.clear()
    thread = walking(walker)
    thread.join(0.05)
    assert thread.is_alive() and walker.held
    walker.checkpoint.set()
    thread.join(10)
    assert not thread.is_alive() and not walker.held


def test_who_is_held_says_so_again_when_somebody_else_said_otherwise() -> None:
    """pynetdicom serves a request in a thread of its own, which says at its end that nobody is held."""
    walker = Walker()
    walker.checkpoint.clear()
    walking(walker)
    walker.held = False
    peers.wait_for(lambda: walker.held, "the walker")
    walker.checkpoint.set()
