"""Audit messages read by a program that is not ours: libxml2, and the schema of the Standard."""

import base64
from pathlib import Path

from lxml import etree

SCHEMA = etree.RelaxNG(etree.parse(Path(__file__).parent / "audit-message.rng"))
Message = etree._Element


def checked(text: str | bytes) -> Message:
    """A message after PS3.15 A.5.1. AssertionError says where it is not."""
    found = etree.fromstring(text)
    assert SCHEMA.validate(found), SCHEMA.error_log
    return found


def codes(message: Message, name: str) -> list[tuple[str, str]]:
    """Code and coding scheme of every element of that name."""
    return [(one.get("csd-code"), one.get("codeSystemName")) for one in message.iter(name)]


def kept(message: Message) -> dict[str, str]:
    """What the object that stands for the row holds, with its number."""
    row = message.findall("ParticipantObjectIdentification")[-1]
    about = {one.get("type"): base64.b64decode(one.get("value")).decode() for one in row.iter("ParticipantObjectDetail")}
    return {**about, "seq": row.get("ParticipantObjectID")}
