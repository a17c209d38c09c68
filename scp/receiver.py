"""The C-STORE and C-ECHO SCP: what it answers with success, the intake has committed."""

import threading

from pynetdicom.ae import ApplicationEntity

from domain.errors import ConfigurationError
from domain.seams import Intake
from scp.admission import Admission
from scp.association import quiet_library
from scp.associations import Associations
from scp.house import House
from scp.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from scp.server import Server
from scp.settings import ReceiverSettings


class Receiver:
    """Listens between ``start`` and ``stop``; one thread accepts, one per association receives."""

    def __init__(self, settings: ReceiverSettings, intake: Intake) -> None:
        """Raises ConfigurationError when a peer's address is none."""
        self._settings = settings
        admission = Admission(settings.peers, settings.ae_title, settings.admit_unknown)
        self._house = House(settings, admission, intake, Associations(settings.max_associations))
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> int:
        """Listen; returns the port. Raises ConfigurationError when the address cannot be used."""
        quiet_library()
        settings = self._settings
        try:
            self._server = Server(_entity(settings), self._house)
        except OSError as error:
            words = (error.strerror or type(error).__name__).lower()
            raise ConfigurationError(f"scp.port: cannot listen on {settings.bind} port {settings.port}: {words}") from None
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name="receiver", daemon=True)
        self._thread.start()
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """No new associations; running ones have ``stop_seconds`` to end, then they are aborted. What was acknowledged stays."""
        server, self._server = self._server, None
        if server is None or self._thread is None:
            return
        server.shutdown()
        self._thread.join()
        self._house.associations.end(self._settings.stop_seconds)


def _entity(settings: ReceiverSettings) -> ApplicationEntity:
    entity = ApplicationEntity(settings.ae_title)
    entity.acse_timeout = settings.request_seconds
    entity.network_timeout = entity.dimse_timeout = settings.idle_seconds
    entity.maximum_pdu_size = settings.max_pdu
    entity.maximum_associations = 1_000_000  # counted by ``Associations``: pynetdicom counts every connection
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION
    return entity
