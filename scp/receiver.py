"""The SCP for C-STORE, C-ECHO and what modalities say about a study: what it answers with success has been recorded."""

import threading
from collections.abc import Callable, Iterable

from pynetdicom.ae import ApplicationEntity

from domain.errors import ConfigurationError
from domain.evidence import Witness
from domain.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from domain.instances import Caller
from domain.seams import Intake
from scp.admission import Admission
from scp.association import quiet_library
from scp.associations import Associations
from scp.evidence import Services
from scp.flood import Flood
from scp.house import House
from scp.reports import Reports, Tls, plain
from scp.server import Server
from scp.settings import Peer, ReceiverSettings
from scp.tls import TlsListener, TlsSettings
from scp.warden import Warden


class Receiver:
    """Listens between ``start`` and ``stop``; one thread per port accepts, one per association receives."""

    def __init__(
        self,
        settings: ReceiverSettings,
        intake: Intake,
        witness: Witness | None = None,
        tls_of: Callable[[Caller, int], Tls | None] = plain,
    ) -> None:
        """``witness`` makes it take MPPS, instance availability and storage commitment; ``tls_of`` see ``Reports``.

        Raises ConfigurationError when a peer's address is none.
        """
        self._settings = settings
        admission = Admission(settings.peers, settings.ae_title, settings.admit_unknown)
        associations = Associations(settings.max_associations, settings.max_per_peer)
        flood = Flood(settings.requests_per_second)
        reports = Reports(settings.ae_title, admission.port, witness.reported, tls_of=tls_of) if witness else None
        services = Services(witness, reports) if witness and reports else None
        self._house = House(settings, admission, intake, associations, services, flood)
        self._tls = TlsListener(settings.tls) if settings.tls else None
        self._listeners: list[tuple[Server, threading.Thread]] = []
        self._warden = Warden(associations, settings.association_seconds) if settings.association_seconds else None
        self.tls_port = 0  # of TLS, once it listens

    def start(self) -> int:
        """Listen; returns the port, that of TLS when there is no other. Raises ConfigurationError when one cannot be used."""
        quiet_library()
        settings = self._settings
        try:
            port = self._listen("scp.port", settings.port) if settings.plain else 0
            if settings.tls and self._tls:
                self.tls_port = self._listen("scp.tls.port", settings.tls.port, self._tls)
        except ConfigurationError:
            self._end_listening()
            raise
        if self._warden:
            self._warden.start()
        if self._house.services:
            self._house.services.send_owed()
        return port or self.tls_port

    def admit(self, peers: Iterable[Peer]) -> None:
        """Who may send from now on; running associations go on. Raises ConfigurationError and changes nothing."""
        self._house.admission.replace(peers)

    def reload_certificates(self, settings: TlsSettings) -> None:
        """Read them again for associations to come. Raises ConfigurationError and changes nothing."""
        if self._tls:
            self._tls.reload(settings)

    def stop(self) -> None:
        """No new associations; running ones have ``stop_seconds`` to end, then they are aborted. What was acknowledged stays."""
        if not self._listeners:
            return
        self._end_listening()
        self._house.associations.end(self._settings.stop_seconds)
        if self._warden:
            self._warden.stop()
        if self._house.services:
            self._house.services.reports.stop()

    def _listen(self, key: str, port: int, tls: TlsListener | None = None) -> int:
        settings = self._settings
        try:
            server = Server(_entity(settings), self._house, port, tls)
        except OSError as error:
            words = (error.strerror or type(error).__name__).lower()
            raise ConfigurationError(f"{key}: cannot listen on {settings.bind} port {port}: {words}") from None
        thread = threading.Thread(target=server.serve_forever, args=(0.2,), name="receiver", daemon=True)
        thread.start()
        self._listeners.append((server, thread))
        return int(server.server_address[1])

    def _end_listening(self) -> None:
        while self._listeners:
            server, thread = self._listeners.pop()
            server.shutdown()
            thread.join()


def _entity(settings: ReceiverSettings) -> ApplicationEntity:
    entity = ApplicationEntity(settings.ae_title)
    entity.acse_timeout = settings.request_seconds
    entity.network_timeout = entity.dimse_timeout = settings.idle_seconds
    entity.maximum_pdu_size = settings.max_pdu
    entity.maximum_associations = 1_000_000  # counted by ``Associations``: pynetdicom counts every connection
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION
    return entity
