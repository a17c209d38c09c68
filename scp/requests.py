"""Association requests that were decoded before: a device asks for the same each time, and decoding 128 contexts costs 8 ms."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE

_MOST: Final = 64  # requests that are kept; the one not seen for longest goes
SHORTEST_PDU: Final = 8  # one item with two bytes of a message (PS3.8 9.3.5.1)
_LONGEST: Final = 1 << 15  # bytes of one that is kept


class Request:
    """What pynetdicom's state machine asks of a decoded request. Associations share it, and none of them changes it."""

    def __init__(self, pdu: A_ASSOCIATE_RQ) -> None:
        """Raises what pynetdicom raises for even presentation context ids, unprintable AE titles and the like."""
        self.protocol_version = pdu.protocol_version
        self._primitive = pdu.to_primitive()
        _check(self._primitive)
        if self._primitive.maximum_length_received is None:  # required (PS3.8 D.1), and missing with some: no limit
            self._primitive.maximum_length_received = 0

    def to_primitive(self) -> A_ASSOCIATE:
        """The request for the user of the state machine."""
        return self._primitive


def _check(request: A_ASSOCIATE) -> None:
    """What negotiation takes for granted (PS3.8 9.3.2.2). Raises ValueError."""
    contexts = request.presentation_context_definition_list
    if not all(context.abstract_syntax and context.transfer_syntax for context in contexts):
        raise ValueError("a presentation context without abstract or transfer syntax")
    if 0 < (request.maximum_length_received or 0) < SHORTEST_PDU:
        raise ValueError("no message fits into PDUs that short")


class Requests:
    """Keeps decoded requests by their bytes; only those that could be decoded. Used by the threads of all associations."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, Request] = OrderedDict()

    def decoded(self, data: bytes, decode: Callable[[], A_ASSOCIATE_RQ]) -> Request:
        """The request in ``data``; ``decode`` is called when it was not seen before."""
        with self._lock:
            found = self._known.get(data)
            if found:
                self._known.move_to_end(data)
                return found
        made = Request(decode())
        if len(data) <= _LONGEST:
            with self._lock:
                self._known[data] = made
                if len(self._known) > self._most:
                    self._known.popitem(last=False)
        return made
