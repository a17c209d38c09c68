"""Equal input gives equal bytes, in another process, at another time, with another seed of the hash."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sr_writer.results import documents
from tests.sr_writer import cases
from tests.sr_writer.reading import saved

ROOT = Path(__file__).parents[2]

# Clock and random numbers are replaced before anything else is imported: what uses them shows.
PROGRAM = """
import datetime, random, sys, time, uuid
class Elsewhen(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2031, 7, 8, 9, 10, 11, 12, tz)
datetime.datetime = Elsewhen
time.time = lambda: 1.9e9
random.seed(99)
from tests.sr_writer import cases, test_determinism
print(test_determinism.digest(sys.argv[1]))
"""


def digest(kind: str) -> str:
    made = documents(*getattr(cases, kind)().arguments)
    return " ".join(f"{d.role}:{hashlib.sha256(saved(d)).hexdigest()}" for d in made)


@pytest.mark.parametrize("kind", ["positive", "negative", "not_analysed", "failed"])
def test_another_process_with_another_clock_writes_the_same_bytes(kind: str) -> None:
    command = [sys.executable, "-c", PROGRAM, kind]
    environment = {**os.environ, "PYTHONHASHSEED": "4242", "TZ": "Asia/Shanghai"}
    elsewhere = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert elsewhere.stdout.strip() == digest(kind)
