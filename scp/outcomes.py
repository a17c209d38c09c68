"""What was answered to an association request before: the same bytes from the same device get the same answer at once.

Negotiating 128 presentation contexts and encoding the answer costs pynetdicom 3 ms. Both depend on nothing but the request and
on settings that stay while a receiver runs, so the second request of a kind is answered with the bytes of the first.
"""

import threading
from collections import OrderedDict
from typing import Final, NamedTuple

from pynetdicom.pdu_primitives import A_ASSOCIATE, UserIdentityNegotiation
from pynetdicom.presentation import PresentationContext

_MOST: Final = 64  # as many as requests are kept (``scp.requests``)


class Outcome(NamedTuple):
    """An accepted request. Associations share the contexts, and none of them changes them."""

    request: A_ASSOCIATE  # kept, so that nothing else gets its identity
    accepted: tuple[PresentationContext, ...]
    rejected: tuple[PresentationContext, ...]
    answer: bytes  # A-ASSOCIATE-AC


class Outcomes:
    """Of one receiver; used by the threads of all associations."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._known: OrderedDict[int, Outcome] = OrderedDict()

    def find(self, request: A_ASSOCIATE) -> Outcome | None:
        """For this very request, as ``scp.requests`` gives it to all who send the same bytes."""
        with self._lock:
            found = self._known.get(id(request))
            if found:
                self._known.move_to_end(id(request))
        return found

    def keep(self, outcome: Outcome) -> None:
        """Unless it says who the user is: that is judged anew each time."""
        if any(isinstance(item, UserIdentityNegotiation) for item in outcome.request.user_information):
            return
        with self._lock:
            self._known[id(outcome.request)] = outcome
            if len(self._known) > self._most:
                self._known.popitem(last=False)
