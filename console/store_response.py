"""The answer to a STOW-RS request: HTTP status and Store Instances Response Module (PS3.18 section 10.5.3 and annex I)."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from console.desk import Outcome

CONFLICT_WARNING: Final = 0xB409  # ours, of the Bxxx range: kept beside another object with the same UID
_RETRIEVE_URL: Final = {"00081190": {"vr": "UR"}}  # type 2: there is no WADO-RS here


def http_status(outcomes: Sequence[Outcome]) -> int:
    """PS3.18 table 10.5.3-1. There is at least one outcome."""
    failed = [one for one in outcomes if one.status]
    if not failed:
        return 202 if any(one.conflict for one in outcomes) else 200
    if len(failed) < len(outcomes):
        return 202
    if all(one.too_large for one in failed):
        return 413
    return 503 if all(one.status >> 8 == 0xA7 and not one.too_large for one in failed) else 409


def document(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The module as DICOM JSON (PS3.18 annex F); sequences without items are left out."""
    stored = [one for one in outcomes if not one.status]
    named = [one for one in outcomes if one.status and one.sop_instance_uid]
    nameless = [one for one in outcomes if one.status and not one.sop_instance_uid]
    return {
        **_RETRIEVE_URL,
        **_sequence("00081198", named, lambda one: _reference(one) | _number("00081197", one.status)),  # Failed SOP Sequence
        **_sequence("00081199", stored, _stored),  # Referenced SOP Sequence
        **_sequence("0008119A", nameless, lambda one: _number("00081197", one.status)),  # Other Failures Sequence
    }


def warning(outcomes: Sequence[Outcome]) -> str:
    """The value of an HTTP header "Warning": why the first file failed; empty when none did."""
    return next((f'299 ancilla "{one.words}"' for one in outcomes if one.status), "")


def _stored(one: Outcome) -> dict[str, Any]:
    note = _number("00081196", CONFLICT_WARNING) if one.conflict else {}
    return _reference(one) | _RETRIEVE_URL | note


def _reference(one: Outcome) -> dict[str, Any]:
    return {"00081150": {"vr": "UI", "Value": [one.sop_class_uid]}, "00081155": {"vr": "UI", "Value": [one.sop_instance_uid]}}


def _number(tag: str, value: int) -> dict[str, Any]:
    return {tag: {"vr": "US", "Value": [value]}}


def _sequence(tag: str, outcomes: Sequence[Outcome], item: Callable[[Outcome], dict[str, Any]]) -> dict[str, Any]:
    return {tag: {"vr": "SQ", "Value": [item(one) for one in outcomes]}} if outcomes else {}
