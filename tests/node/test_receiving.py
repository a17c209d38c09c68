"""Commitment reports leave by TLS to whom results leave by TLS."""

import pytest

from domain.destinations import Destination
from domain.errors import TransientError
from domain.instances import Caller
from node.receiving import tls_towards

ARCHIVE = Destination("archive", "dicom", "pacs.example", 11113, "ARCHIVE", "ANCILLA", tls=True)
PLAIN = Destination("plain", "dicom", "pacs.example", 11112, "ARCHIVE", "ANCILLA")
CALLER = Caller("ARCHIVE", "ANCILLA", "10.1.2.3")


def test_title_and_port_decide_and_the_certificate_must_name_the_host() -> None:
    found = tls_towards((PLAIN, ARCHIVE), CALLER, 11113)
    assert found is not None and found[1] == "pacs.example" and found[0].check_hostname
    assert tls_towards((PLAIN, ARCHIVE), CALLER, 11112) is None
    assert tls_towards((PLAIN, ARCHIVE), Caller("CT01", "ANCILLA", "10.1.2.3"), 11113) is None


def test_a_certificate_that_cannot_be_read_is_no_reason_to_go_without() -> None:
    broken = Destination("archive", "dicom", "pacs.example", 11113, "ARCHIVE", "ANCILLA", tls=True, ca_file="/missing.pem")
    with pytest.raises(TransientError):
        tls_towards((broken,), CALLER, 11113)
