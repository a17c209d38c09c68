"""Zeros written ahead: packs of many images begin with them, nobody can tell afterwards, and whatever they cannot do is done
without them."""

import hashlib
import os
import random
import shutil
import threading
import time
from pathlib import Path

import pytest

from db import spares as spares_module
from db import spool as spool_module
from db.spares import Spares, write_zeros
from db.spool import Spool
from domain.errors import OutOfSpaceError
from domain.instances import Place
from tests.db.nouns import CALLER, META, found, header, put

SIZE = 1 << 20


@pytest.fixture(autouse=True)
def small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spares_module, "SIZE", SIZE)
    monkeypatch.setattr(spares_module, "_QUIET_SECONDS", 0.0)


def wait_for(spares: Spares, count: int) -> None:
    deadline = time.monotonic() + 20
    while spares.ready < count:
        assert time.monotonic() < deadline, f"{spares.ready} spares instead of {count}"
        threading.Event().wait(0.005)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """One that has spares ready; skipped where the file system of the tests cannot write past the page cache."""
    try:
        write_zeros(tmp_path / "try", SIZE)
    except OSError:
        pytest.skip("no O_DIRECT here")
    found = Spool(tmp_path / "spool", prepared_bytes=4 * SIZE)
    found.prepare()
    found._spares.any_ready()
    wait_for(found._spares, 4)
    return found


def payload(number: int, size: int = 90_000) -> bytes:
    return random.Random(number).randbytes(size)


def fill(spool: Spool, count: int, size: int = 90_000, durable: bool = True) -> list[Place]:
    places = []
    for number in range(count):
        writer = spool.writer("a1", CALLER, header(number), META, durable=durable)
        content = payload(number, size)
        writer.write(content[: size // 3])
        places.append(writer.commit([content[size // 3 : size // 2], content[size // 2 :]])[0])
    return places


def test_nothing_is_written_ahead_before_images_come_in_numbers(tmp_path: Path) -> None:
    spool = Spool(tmp_path, prepared_bytes=4 * SIZE)
    spool.prepare()
    fill(spool, 16, 100)
    assert spool._spares.ready == 0
    put(spool, b"one more", 16)
    wait_for(spool._spares, 4)
    spool.stop()
    assert spool._spares.ready == 0
    assert not list(tmp_path.rglob("*.zeros"))


@pytest.mark.parametrize("durable", [True, False])
def test_many_images_go_into_spares_and_come_back_byte_for_byte(spool: Spool, tmp_path: Path, durable: bool) -> None:
    places = fill(spool, 60, durable=durable)
    packs = {place.pack for place in places}
    assert len(packs) >= 5  # the first, and spares of a megabyte each
    sizes = [(tmp_path / "spool" / pack).stat().st_size for pack in packs]
    assert sizes.count(SIZE) >= 3
    assert all(spool.view(place) == META + payload(number) for number, place in enumerate(places))
    recovered, torn = found(spool)
    assert {each.header: each.place for each in recovered} == {header(number): place for number, place in enumerate(places)}
    assert not torn
    spool.close("a1")
    ends = {pack: max(place.offset + place.length for place in places if place.pack == pack) for pack in packs}
    assert {pack: (tmp_path / "spool" / pack).stat().st_size for pack in packs} == ends
    spool.stop()


def test_the_digest_of_a_record_is_that_of_its_data_set(spool: Spool) -> None:
    for number, place in enumerate(fill(spool, 20)):
        assert spool.digest_of(place, len(META)) == hashlib.sha256(payload(number)).hexdigest()
    spool.stop()


def test_a_power_cut_leaves_zeros_behind_the_last_record_of_a_spare_and_nothing_to_complain_about(
    spool: Spool, tmp_path: Path
) -> None:
    places = fill(spool, 25)
    shutil.copytree(tmp_path / "spool", tmp_path / "after")  # as the power went
    recovered, torn = found(Spool(tmp_path / "after"))
    assert {each.place for each in recovered} == set(places)
    assert not torn
    spool.stop()


@pytest.mark.parametrize("seed", range(12))
def test_sectors_missing_from_the_last_record_make_it_torn_and_no_other(spool: Spool, tmp_path: Path, seed: int) -> None:
    """The disk writes sectors in any order, and the power goes before the sync has ended."""
    places = fill(spool, 25)
    shutil.copytree(tmp_path / "spool", tmp_path / "after")
    last = places[-1]
    pack = tmp_path / "after" / last.pack
    data = bytearray(pack.read_bytes())
    chance = random.Random(seed)
    begin = max(place.offset + place.length for place in places[:-1] if place.pack == last.pack)
    sectors = range(begin // 512 + 1, (last.offset + last.length) // 512)
    for sector in chance.sample(sectors, chance.randint(1, len(sectors))):
        data[sector * 512 : (sector + 1) * 512] = bytes(512)
    pack.write_bytes(data)
    recovered, torn = found(Spool(tmp_path / "after"))
    assert {each.place for each in recovered} == set(places[:-1])
    assert len(torn) <= 1  # none, when nothing of it had been written
    spool.stop()


def test_an_object_given_up_in_a_spare_leaves_nothing_and_the_next_one_is_whole(spool: Spool, tmp_path: Path) -> None:
    places = fill(spool, 20)
    writer = spool.writer("a1", CALLER, header(100), META)
    writer.write(payload(100, 300_000))
    writer.discard()
    place, _ = put(spool, payload(101), 101)
    assert spool.view(place) == META + payload(101)
    spool.close("a1")
    recovered, torn = found(Spool(tmp_path / "spool"))
    assert {each.place for each in recovered} == {*places, place}
    assert not torn
    spool.stop()


def test_an_object_larger_than_a_spare_is_kept_whole(spool: Spool) -> None:
    fill(spool, 20)
    writer = spool.writer("a1", CALLER, header(100), META)
    content = payload(100, 5 * SIZE)
    for start in range(0, len(content), 100_001):
        writer.write(content[start : start + 100_001])
    place, digest = writer.commit()
    assert spool.view(place) == META + content
    assert digest == spool.digest_of(place, len(META))
    spool.stop()


def test_spares_of_an_earlier_process_are_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "spare").mkdir()
    (tmp_path / "spare" / "0.zeros").write_bytes(b"not zeros at all")
    spool = Spool(tmp_path, prepared_bytes=4 * SIZE)
    spool.prepare()
    assert not list(tmp_path.rglob("*.zeros"))
    spool.stop()


def test_below_the_reserve_spares_are_given_back_first(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = spool_module.check_space
    asked: list[int] = []

    def check(where: int | Path, reserve_bytes: int) -> None:
        asked.append(spool._spares.ready)
        if spool._spares.ready:
            raise OutOfSpaceError("full")
        whole(where, reserve_bytes)

    monkeypatch.setattr(spool_module, "check_space", check)
    monkeypatch.setattr(spool._spares, "_has_space", lambda: False)
    put(spool, b"fits now")
    assert asked[0] and not asked[1]
    spool.stop()


def test_where_the_disk_cannot_do_it_packs_grow_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    spool = Spool(tmp_path, prepared_bytes=4 * SIZE)
    spool.prepare()
    places = fill(spool, 40)
    assert all(spool.view(place) == META + payload(number) for number, place in enumerate(places))
    spool.stop()
    assert not list(tmp_path.rglob("*.zeros"))
