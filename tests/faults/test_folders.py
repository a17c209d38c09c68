"""Folders of studies of which nothing was kept go away, and nobody who begins an image in them at that moment notices."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from db.spool import Spool
from domain.instances import Caller, Header
from tests.faults.rounds import rounds

CALLER = Caller("CT01", "ANCILLA", "127.0.0.1")
HEADER = Header("1.2.840.10008.5.1.4.1.1.2", "1.2.3", "1.2.840.10008.1.2.1", "1.2.4", "1.2.5", "CT")


def test_associations_that_begin_and_give_up_images_of_one_study_do_not_disturb_each_other(tmp_path: Path) -> None:
    spool, numbers = Spool(tmp_path / "spool"), itertools.count()

    def attempt(_: int) -> None:
        association_id = f"a{next(numbers)}"
        spool.writer(association_id, CALLER, HEADER, b"meta").discard()
        spool.close(association_id)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(attempt, range(rounds(2_000, 20_000))))
        assert [*(tmp_path / "spool").glob("??/*")] == []
        keeping = spool.writer("kept", CALLER, HEADER, b"meta")
        keeping.write(b"data")
        keeping.commit()
        list(threads.map(attempt, range(500)))
    spool.close("kept")
    assert [path.name for path in (tmp_path / "spool").glob("??/*/*")] == ["kept.pack"]
