"""Ends associations that last longer than allowed; runs only where there is such a limit."""

import logging
import threading
from typing import Final

from scp.associations import Associations

LOG: Final = logging.getLogger(__name__)
_MERCY: Final = 5.0  # seconds between the abort and closing the connection of who does not react to it


class Warden:
    """One thread per receiver."""

    def __init__(self, associations: Associations, seconds: float) -> None:
        self._associations, self._seconds = associations, seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="warden", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopping.wait(min(1.0, self._seconds / 4)):
            for association in self._associations.older_than(self._seconds + _MERCY):
                association.drop()
            for association in self._associations.older_than(self._seconds, once=True):
                LOG.warning("an association was aborted after %g s, the longest time allowed", self._seconds)
                association.end()
