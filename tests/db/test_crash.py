"""Promise 1: whatever was acknowledged is there after the process was killed or the newest rows were lost."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

from db.audit import verify
from db.spool import Recovered, Spool
from db.store import Store
from domain.audit import Event
from domain.instances import Instance, Receipt
from tests.db.nouns import CALLER, META, Clock, header, new_store, put

_ROOT = Path(__file__).resolve().parents[2]


def receive(spool: Spool, store: Store, number: int, association: str = "a1") -> None:
    place, digest = put(spool, b"pixels %d" % number * 500, number, association=association)
    store.received(Instance(header(number), place, digest, CALLER, association, Clock()()), 30, 600)


def start_up(spool: Spool, store: Store) -> list[Receipt]:
    """What a node does first: close what is open, then index what the packs have behind the index."""
    store.recover(30)
    receipts = []
    for each in spool.recover(store.indexed()):
        if isinstance(each, Recovered):
            receipts.append(store.received(each.instance, 30, 600))
            store.note(Event.RECOVERED, "node", {"pack": each.instance.place.pack})
    return receipts


def test_rows_lost_in_a_power_cut_are_made_again_from_the_packs(tmp_path: Path, clock: Clock) -> None:
    spool, store = Spool(tmp_path / "spool"), new_store(tmp_path / "db", clock)
    store.opened("a1", CALLER)
    for number in range(5):
        receive(spool, store, number)
    store.close()
    shutil.copytree(tmp_path / "db", tmp_path / "before")  # from here on no row reaches the disk
    store = new_store(tmp_path / "db", clock)
    for number in range(5, 12):
        receive(spool, store, number)
    receive(spool, store, 100, association="a2")
    expected = store.instances("1.2.3")
    store.close()

    store = new_store(tmp_path / "before", clock)
    assert len(store.instances("1.2.3")) == 5
    again = Spool(tmp_path / "spool")
    assert start_up(again, store) == [Receipt.STORED] * 8
    found = store.instances("1.2.3")
    assert {(each.header, each.place, each.digest) for each in found} == {
        (each.header, each.place, each.digest) for each in expected
    }
    assert all(again.view(each.place)[: len(META)] == META for each in found)
    assert start_up(again, store) == []
    assert verify(store).broken_seq is None
    store.close()


def test_a_database_that_is_lost_altogether_is_made_again_from_the_packs(tmp_path: Path, clock: Clock) -> None:
    spool, store = Spool(tmp_path / "spool"), new_store(tmp_path / "db", clock)
    for number in range(5):
        receive(spool, store, number)
    expected = store.instances("1.2.3")
    store.close()
    store = new_store(tmp_path / "new", clock)
    start_up(spool, store)
    assert [each.place for each in store.instances("1.2.3")] == [each.place for each in expected]
    store.close()


def test_a_trailing_duplicate_is_not_recovered_at_every_start(tmp_path: Path, clock: Clock) -> None:
    spool, store = Spool(tmp_path / "spool"), new_store(tmp_path / "db", clock)
    receive(spool, store, 1)
    receive(spool, store, 1)
    assert start_up(spool, store) == []
    store.close()


_SENDER = """
import sys
from pathlib import Path
from db.spool import Spool
from tests.db.nouns import CALLER, Clock, new_store
from tests.db.test_crash import receive
folder = Path(sys.argv[1])
spool, store = Spool(folder / "spool"), new_store(folder / "db", Clock())
store.opened("a1", CALLER)
number = 0
while True:
    receive(spool, store, number)
    print(number, flush=True)
    number += 1
"""


def test_a_killed_process_loses_nothing_it_acknowledged(tmp_path: Path, clock: Clock) -> None:
    for wanted in (1, 40):
        folder = tmp_path / str(wanted)
        process = subprocess.Popen([sys.executable, "-c", _SENDER, str(folder)], cwd=_ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(wanted)]
        process.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in process.stdout.read().splitlines()]
        process.wait(30)
        store = new_store(folder / "db", clock)
        start_up(Spool(folder / "spool"), store)
        kept = {each.header.sop_instance_uid for each in store.instances("1.2.3")}
        assert {header(number).sop_instance_uid for number in acknowledged} <= kept
        assert len(kept) <= len(acknowledged) + 1
        assert verify(store).broken_seq is None
        store.close()
