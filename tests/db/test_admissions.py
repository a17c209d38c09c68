"""Whom an administrator lets in, what strangers wanted, and the record of both."""

import json

from db.store import Store
from domain.instances import Caller

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"


def test_a_stranger_is_listed_with_what_it_wanted_to_send_the_last_time(store: Store) -> None:
    caller = Caller("CT09", "ANCILLA", "10.1.2.3")
    store.rejected(caller, "calling AE title is unknown", [CT])
    store.rejected(caller, "calling AE title is unknown", [MR, CT])
    (stranger,) = store.strangers()
    assert (stranger.caller, stranger.count, stranger.proposed) == (caller, 2, (MR, CT))


def test_who_is_admitted_is_listed_and_is_no_stranger_any_more(store: Store) -> None:
    for address in ("10.1.2.3", "10.9.9.9"):
        store.rejected(Caller("CT09", "ANCILLA", address), "unknown", [CT])
    store.rejected(Caller("OTHER", "ANCILLA", "10.1.2.3"), "unknown")
    store.admit("CT09", "10.1.0.0/16", 104, "operator:root")
    (admission,) = store.admissions()
    assert (admission.ae_title, admission.address, admission.port, admission.actor) == (
        "CT09",
        "10.1.0.0/16",
        104,
        "operator:root",
    )
    assert {(s.caller.calling_ae, s.caller.address) for s in store.strangers()} == {("CT09", "10.9.9.9"), ("OTHER", "10.1.2.3")}
    store.admit("CT09", "", 0, "operator:root")
    assert {s.caller.calling_ae for s in store.strangers()} == {"OTHER"}


def test_admitting_again_changes_the_port(store: Store) -> None:
    store.admit("CT09", "10.1.2.3", 104, "operator:root")
    store.admit("CT09", "10.1.2.3", 11112, "operator:eve")
    assert [(one.port, one.actor) for one in store.admissions()] == [(11112, "operator:eve")]


def test_dismissing_takes_back_one_address_or_all_of_a_title(store: Store) -> None:
    for address in ("", "10.1.2.3", "10.1.2.4"):
        store.admit("CT09", address, 0, "operator:root")
    store.admit("CT10", "", 0, "operator:root")
    assert [one.address for one in store.dismiss("CT09", "10.1.2.3", "operator:root")] == ["10.1.2.3"]
    assert [one.address for one in store.dismiss("CT09", None, "operator:root")] == ["", "10.1.2.4"]
    assert store.dismiss("CT09", None, "operator:root") == []
    assert [one.ae_title for one in store.admissions()] == ["CT10"]


def test_both_leave_audit_rows_with_who_did_it(store: Store) -> None:
    store.admit("CT09", "10.1.2.3", 0, "operator:root")
    store.dismiss("CT09", None, "operator:eve")
    rows = [(row.event, row.actor, json.loads(row.details)) for row in store.audit()]
    assert rows == [
        ("admitted", "operator:root", {"ae_title": "CT09", "address": "10.1.2.3", "port": 0}),
        ("dismissed", "operator:eve", {"ae_title": "CT09", "address": "10.1.2.3"}),
    ]
