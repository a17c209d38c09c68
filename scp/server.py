"""The listening socket: a thread that accepts connections and starts an association for each."""

import logging
import socket
import socketserver
from typing import Any, Final

from pynetdicom.ae import ApplicationEntity
from pynetdicom.transport import AddressInformation, AssociationServer, RequestHandler

from scp.association import Acceptor
from scp.fast_association import FastAcceptor
from scp.house import House
from scp.tls import TlsListener

LOG: Final = logging.getLogger(__name__)


class Server(AssociationServer):
    """pynetdicom's server; its handler neither copies all supported contexts per association nor starts a third thread."""

    request_queue_size = 128

    def __init__(self, ae: ApplicationEntity, house: House, port: int, tls: TlsListener | None = None) -> None:
        """Binds and listens. Raises OSError."""
        self.house, self._tls = house, tls
        settings = house.settings
        super().__init__(ae, (settings.bind, port), settings.ae_title, [], request_handler=_Handler)

    def _bind_defaults(self) -> None:
        """Handlers are bound to associations, not here."""

    def get_request(self) -> tuple[socket.socket, Any]:
        """The next connection; the TLS handshake is left to the thread of its association: nobody else waits for it."""
        connection, address = super().get_request()
        return (self._tls.wrap(connection) if self._tls else connection), address

    def service_actions(self) -> None:
        """pynetdicom collects garbage here for every sixtieth connection, which stops all receiving threads."""

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's signature
        """A connection that was gone before we could look at it; the listener goes on."""
        LOG.info("a connection ended before it began")

    def shutdown(self) -> None:
        """Stop accepting and close the listening socket."""
        socketserver.BaseServer.shutdown(self)
        self.server_close()


class _Handler(RequestHandler):
    server: Server

    def _create_association(self) -> Acceptor:
        settings = self.server.house.settings
        association = make_association(self.ae, self.server.house)
        association._server = self.server
        association.name = "association"
        association.set_socket(association.wrap(self.request))
        association.acceptor.maximum_length = settings.max_pdu
        association.acceptor.ae_title = settings.ae_title
        association.acceptor.address_info = self.local
        association.acceptor.implementation_class_uid = self.ae.implementation_class_uid
        association.acceptor.implementation_version_name = self.ae.implementation_version_name
        association.requestor.address_info = AddressInformation.from_tuple(self.client_address)
        self.server.house.associations.connected(association)
        return association


def make_association(ae: ApplicationEntity, house: House) -> Acceptor:
    """The kind of association the settings ask for."""
    return FastAcceptor(ae, house) if house.settings.fast_path else Acceptor(ae, house)
