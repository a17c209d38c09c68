"""One row of the audit log as one AuditMessage (XML after the schema of PS3.15 A.5.1), and many of them as one document.

A message names studies and instances by their UIDs and holds nothing about patients, because the log has nothing about them. Its
last ParticipantObjectIdentification is the row itself: number, hash and everything the hash is made of.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from domain.audit import AuditRow
from node.atna.messages import ACTIVITY, ALERT, DCM, LOG_USED, OURS, Code, Form, Parts, form_of, type_of
from node.atna.source import Party, Source

DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>'
MOST_INSTANCES: Final = 200  # named in one message; the row has them all
LONGEST_DETAILS: Final = 16_384  # characters: a repository must take 32,768 octets (IHE ITI TF-2 3.20)

_ILLEGAL: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, section 2.2
_ESCAPED: Final = {ord(mark): f"&#{ord(mark)};" for mark in '&<>"\t\n\r'}

APPLICATION: Final = Code("110150", DCM, "Application")
DESTINATION: Final = Code("110152", DCM, "Destination Role ID")
SOURCE: Final = Code("110153", DCM, "Source Role ID")
STUDY: Final = Code("110180", DCM, "Study Instance UID")
NODE: Final = Code("110182", DCM, "Node ID")
URI: Final = Code("12", "RFC-3881", "URI")
ROW: Final = Code("audit-row", OURS, "Row of the audit log")

Attributes = Mapping[str, str | int]


def document(rows: Iterable[AuditRow], source: Source) -> Iterator[str]:
    """Lines of one XML document: a root, and in it one AuditMessage per line."""
    yield DECLARATION
    yield f"<AuditMessages{_attributes({'AuditSourceID': source.id})}>"
    for row in rows:
        yield message(row, source)
    yield "</AuditMessages>"


def message(row: AuditRow, source: Source) -> str:
    """One row, on one line, without a declaration."""
    return told(row, source)[1]


def told(row: AuditRow, source: Source) -> tuple[int, str]:
    """EventOutcomeIndicator of the message (0, 4 or 8), and the message."""
    details = _details(row)
    form = form_of(row.event, details)
    outcome = _outcome(form, details)
    parts = (
        _event(row, form, outcome, details),
        *_participants(row, form, details, source),
        _source(source),
        *_objects(row, form, details, source),
    )
    return outcome, f"<AuditMessage>{''.join(parts)}</AuditMessage>"


def _details(row: AuditRow) -> Mapping[str, Any]:
    """Also of a row that somebody has tampered with: it goes out as it is, and its hash shows it."""
    try:
        found = json.loads(row.details)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _outcome(form: Form, details: Mapping[str, Any]) -> int:
    """An association that was not released is a minor failure."""
    return form.outcome or (4 if details.get("how", "released") in ("aborted", "lost") else 0)


def _event(row: AuditRow, form: Form, result: int, details: Mapping[str, Any]) -> str:
    about = {"EventActionCode": form.action, "EventDateTime": row.at.isoformat(timespec="microseconds")}
    kind = type_of(form, row.event)
    words = str(details.get("words") or details.get("reason") or details.get("how") or row.event) if result else ""
    inner = (
        _coded("EventID", form.id),
        _coded("EventTypeCode", kind) if kind else "",
        _element("EventOutcomeDescription", {}, _text(words)) if words else "",
    )
    return _element("EventIdentification", {**about, "EventOutcomeIndicator": result}, *inner)


def _participants(row: AuditRow, form: Form, details: Mapping[str, Any], source: Source) -> Sequence[str]:
    """At most one is the requestor (PS3.15 A.5.2)."""
    actor, us = source.actor(row.actor), source.party
    if form.parts is Parts.ARRIVAL:
        if actor is None:
            return (_participant(us, DESTINATION, False),)
        return _participant(actor, SOURCE, True), _participant(us, DESTINATION, False)
    if form.parts is Parts.DEPARTURE:
        where = source.destination(str(details.get("destination", "")))
        other = [_participant(actor, None, False)] if actor and actor.ae_title != where.ae_title else []
        return _participant(us, SOURCE, True), _participant(where, DESTINATION, False), *other
    if form.parts is Parts.REPORT and actor is not None:
        return _participant(us, None, True), _participant(actor, None, False)
    role = APPLICATION if form.id == ACTIVITY else None
    here = _participant(us, role, actor is None)
    return (here,) if actor is None else (_participant(actor, None, True), here)


@lru_cache(1024)  # the same few parties make nearly all rows
def _participant(party: Party, role: Code | None, asks: bool) -> str:
    about: dict[str, str | int] = {"UserID": party.name}
    if party.ae_title:
        about["AlternativeUserID"] = f"AETITLES={party.ae_title}"  # PS3.15 A.5.2.2
    about["UserIsRequestor"] = "true" if asks else "false"
    if party.place:
        about |= {"NetworkAccessPointID": party.place, "NetworkAccessPointTypeCode": party.place_kind}
    return _element("ActiveParticipant", about, _coded("RoleIDCode", role) if role else "")


def _source(source: Source) -> str:
    about = ({"AuditEnterpriseSiteID": source.site} if source.site else {}) | {"AuditSourceID": source.id}
    return _element("AuditSourceIdentification", about, '<AuditSourceTypeCode csd-code="4"/>')  # application server process


def _objects(row: AuditRow, form: Form, details: Mapping[str, Any], source: Source) -> Iterator[str]:
    if form.id == LOG_USED:  # PS3.15 A.5.3.2
        yield _object(URI, source.log or source.id, 13, "Security Audit Log")
    if form.id == ALERT:
        about = source.actor(row.actor)
        words = str(details.get("words") or details.get("reason") or row.event)
        yield _object(NODE, row.actor if about else source.id, 13, "Node", _detail("Alert Description", words))
    if row.study_uid:
        yield _object(STUDY, row.study_uid, 3, "Study", _instances(details))
    yield _object(ROW, str(row.seq), 13, "Audit row", *_kept(row))


def _kept(row: AuditRow) -> Iterator[str]:
    """What the hash of the row is made of, but for what the message says anyway: its number and its time."""
    yield _detail("hash", row.hash)
    yield _detail("event", row.event)
    if row.job_id is not None:
        yield _detail("job_id", str(row.job_id))
    yield _detail("actor", row.actor)
    whole = len(row.details) <= LONGEST_DETAILS
    yield _detail("details" if whole else "details-beginning", row.details[:LONGEST_DETAILS])


def _instances(details: Mapping[str, Any]) -> str:
    """Instances by UID, of one image or of what was sent; the log does not keep their SOP classes."""
    named, several = details.get("instance"), details.get("instances")
    uids = (
        [named]
        if isinstance(named, str)
        else [str(one[0]) for one in several if isinstance(one, list) and one]
        if isinstance(several, list)
        else []
    )
    if not uids:
        return ""
    listed = "".join(_element("Instance", {"UID": uid}) for uid in uids[:MOST_INSTANCES])
    return _element("ParticipantObjectDescription", {}, _element("SOPClass", {"NumberOfInstances": len(uids)}, listed))


def _object(kind: Code, name: str, role: int, words: str, *inner: str) -> str:
    about: Attributes = {"ParticipantObjectID": name, "ParticipantObjectTypeCode": 2, "ParticipantObjectTypeCodeRole": role}
    given = _element("ParticipantObjectName", {}, _text(words))
    return _element("ParticipantObjectIdentification", about, _coded("ParticipantObjectIDTypeCode", kind), given, *inner)


def _detail(kind: str, value: str) -> str:
    return _element(
        "ParticipantObjectDetail", {"type": kind, "value": base64.b64encode(value.encode(errors="replace")).decode("ascii")}
    )


@lru_cache(1024)
def _coded(name: str, code: Code) -> str:
    return _element(name, {"csd-code": code.value, "codeSystemName": code.scheme, "originalText": code.meaning})


def _element(name: str, attributes: Attributes, *inner: str) -> str:
    said = "".join(inner)
    return f"<{name}{_attributes(attributes)}>{said}</{name}>" if said else f"<{name}{_attributes(attributes)}/>"


def _attributes(attributes: Attributes) -> str:
    return "".join(f' {name}="{_text(str(value))}"' for name, value in attributes.items())


def _text(value: str) -> str:
    """Characters that XML cannot hold become U+FFFD: names come from the network."""
    return _ILLEGAL.sub("\ufffd", value).translate(_ESCAPED)
