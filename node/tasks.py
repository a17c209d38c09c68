"""What the node asks its workers to do, by names that cost nothing to know: heavy libraries are loaded there and not here."""

from typing import TYPE_CHECKING

from domain.acceptance import AcceptanceOrder, Accepted
from domain.early import EarlyAnswer, EarlyOrder
from domain.jobs import Answer, Order

if TYPE_CHECKING:
    from node.solo import Solo, Solved


def perform(order: Order) -> Answer:
    """See ``node.work.perform``."""
    from node import work

    return work.perform(order)


def begin(order: EarlyOrder) -> EarlyAnswer:
    """See ``node.ahead.begin``."""
    from node import ahead

    return ahead.begin(order)


def accept(order: AcceptanceOrder) -> Accepted:
    """See ``node.work.accept``."""
    from node import work

    return work.accept(order)


def solve(solo: "Solo") -> "Solved":
    """See ``node.solo.solve``."""
    from node import solo as work

    return work.solve(solo)


def ready() -> None:
    """Load the libraries before the first study comes."""
    from node import work

    work.ready()


def machine() -> str:
    """See ``inference.acceptance.machine``."""
    from inference import acceptance

    return acceptance.machine()
