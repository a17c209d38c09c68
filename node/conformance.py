"""The DICOM Conformance Statement (PS3.2) and IHE Integration Statement of one configuration, as Markdown.

It says what this node does as it is configured now; docs/conformance.md explains each behaviour.
"""

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Final

from pydicom.uid import UID

from domain.destinations import Destination
from domain.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from domain.repositories import Repository
from node.config import Settings
from node.ladder import CLASSES, kinds_to_write
from node.loaded import Model

Row = Sequence[object]

VERIFICATION: Final = "1.2.840.10008.1.1"
COMMITMENT: Final = "1.2.840.10008.1.20.1"
FIND, GET = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.2.3"
PROVIDED: Final = (
    (VERIFICATION, "C-ECHO"),
    ("1.2.840.10008.3.1.2.3.3", "N-CREATE, N-SET"),
    ("1.2.840.10008.5.1.4.33", "N-CREATE"),
    (COMMITMENT, "N-ACTION, N-EVENT-REPORT"),
)

NAMES: Final = {"1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation Storage"}  # newer than pydicom's dictionary


def statement(settings: Settings, models: Sequence[Model]) -> str:
    """The whole statement."""
    parts = (_head(settings), _provider(settings), _user(settings), _models(models), _security(settings), _ihe(settings))
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _head(settings: Settings) -> Iterator[str]:
    yield "# DICOM Conformance Statement of this node"
    yield ""
    yield from _table(
        ("product", "version", "AE title", "implementation class UID", "implementation version name"),
        [("Ancilla", version("ancilla"), settings.scp.ae_title, IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION)],
    )
    yield ""
    yield "Results are those of reference models: AI result, research use, not for primary diagnosis."


def _provider(settings: Settings) -> Iterator[str]:
    scp = settings.scp
    yield "## Services as provider (SCP)"
    yield ""
    rows = [(_name(uid), uid, what) for uid, what in PROVIDED]
    rows.append(("every Storage SOP class but the media directory, level 2 (full)", "PS3.4 B.5 and private ones", "C-STORE"))
    yield from _table(("SOP class", "UID", "DIMSE"), rows)
    yield ""
    web = settings.console is not None and settings.console.stow
    sync = "the answer to the image" if scp.durability == "instance" else "the answer to the release of the association"
    yield from _table(
        ("property", "value"),
        [
            ("port", scp.port),
            ("associations at once (of one peer)", f"{scp.max_associations} ({scp.max_associations_per_peer})"),
            ("longest PDU offered", f"{scp.max_pdu} bytes"),
            ("largest object", f"{scp.max_object_gb:g} GB"),
            ("unknown callers", "accepted" if scp.admit_unknown else "rejected and listed"),
            ("an image is on the disk before", sync),
            ("transfer syntaxes", "all of PS3.6 table A-1 for composite instances"),
            ("STOW-RS (PS3.18 10.5)", "origin server, /dicom-web/studies" if web else "off"),
        ],
    )


def _user(settings: Settings) -> Iterator[str]:
    yield "## Services as user (SCU), by destination"
    yield ""
    archive = settings.retention.archive
    rows = [row for destination in settings.destinations for row in _destination(destination, destination.name == archive)]
    yield from _table(("destination", "kind", "SOP class", "UID"), rows)
    yield ""
    yield f"`ancilla batch` asks a destination for studies: {_name(FIND)} and {_name(GET)}, or QIDO-RS and WADO-RS."


def _destination(destination: Destination, archive: bool) -> Iterator[Row]:
    """Everything that may be proposed: outputs, and what stands for them where they are not taken; ``archive``: it is asked what
    it has before images are deleted here."""
    kinds = kinds_to_write(destination, {})
    uids = [uid for kind in CLASSES if kind in kinds for uid in CLASSES[kind]]
    if destination.kind == "dicom":
        asked = {
            FIND: destination.count or destination.priors or archive,
            GET: destination.priors,
            COMMITMENT: destination.commitment,
        }
        uids = [VERIFICATION, *(uid for uid, wanted in asked.items() if wanted), *uids]
    for uid in dict.fromkeys(uids):
        yield (destination.name, destination.kind, _name(uid), uid)


def _models(models: Sequence[Model]) -> Iterator[str]:
    yield "## Models"
    yield ""
    targets = {m.name: "nobody (shadow)" if m.shadow else ", ".join(m.settings.send_to) for m in models}
    rows = [(m.package_id, m.version, f"`{m.digest[:16]}`", targets[m.name]) for m in models]
    yield from _table(("package", "version", "SHA-256 begins", "results go to"), rows)


def _security(settings: Settings) -> Iterator[str]:
    tls = settings.scp.tls
    yield "## Security"
    yield ""
    if tls is None:
        yield "DICOM TLS: off."
    else:
        certificate = "required" if tls.require_client_cert else "looked at when offered" if tls.ca else "not looked at"
        yield f"DICOM TLS on port {tls.port} (BCP 195 profiles, PS3.15 annex B); client certificates {certificate}."
    yield ""
    yield _audit(settings.audit)


def _audit(repository: Repository | None) -> str:
    if repository is None:
        return "Audit trail: kept in this node; not sent."
    how = {"tls": "SYSLOG-TLS (PS3.15 A.6, RFC 5425)", "udp": "SYSLOG-UDP (PS3.15 A.7, RFC 5426)"}[repository.transport]
    return f"Audit trail: messages of PS3.15 A.5 to {repository.name}, {how}; without the patient, see docs/audit.md."


def _ihe(settings: Settings) -> Iterator[str]:
    yield "## IHE Integration Statement"
    yield ""
    rows = [
        ("AI Results (AIR), trial implementation", "Evidence Creator", "qualitative findings, measurements, regions, locations"),
    ]
    if settings.audit is not None:
        how = "TLS Syslog" if settings.audit.transport == "tls" else "UDP Syslog"
        rows.append(("Audit Trail and Node Authentication (ATNA)", "Secure Application, in parts", f"ATX: {how}"))
    yield from _table(("profile", "actor", "options"), rows)
    yield ""
    yield "What is and what is not met, line by line: docs/ihe-integration.md."


def _name(uid: str) -> str:
    return NAMES.get(uid) or UID(uid).name


def _table(columns: Row, rows: Sequence[Row]) -> Iterator[str]:
    yield "| " + " | ".join(map(str, columns)) + " |"
    yield "|" + " --- |" * len(columns)
    for row in rows or [["-"] * len(columns)]:
        yield "| " + " | ".join(map(str, row)) + " |"
