"""``ancilla models accept``, ``bench`` and ``quantize`` as an administrator types them."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from db.engine import open_store
from inference import tuning
from node.__main__ import main
from node.commands.options import now
from tests.inference import int8_package, small_package
from tests.node.configuration import TEXT

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """How fast does not matter here."""
    monkeypatch.setattr(tuning, "speed", lambda network, *_: {"fp32": 10.0, "bf16": 20.0, "int8": 30.0}[network.way.precision])
    monkeypatch.setattr(tuning, "fastest", lambda make, way: (way.settled(), 30.0))


def configured(folder: Path, package: Path, **compute: str) -> Path:
    more = "".join(f"{name} = {json.dumps(value)}\n" for name, value in compute.items())
    file = folder / "node.toml"
    file.write_text(TEXT.replace('"model"', json.dumps(str(package))) + more)
    (folder / "data").mkdir()
    return file


def said(capsys: Capture) -> Any:
    return json.loads(capsys.readouterr().out)


def test_accept_chooses_remembers_and_writes_an_audit_row(tmp_path: Path, capsys: Capture) -> None:
    file = configured(tmp_path, int8_package.with_int8(tmp_path / "package"))
    assert main(["models", "accept", "--json", "-c", str(file)]) == 0
    (found,) = said(capsys)
    assert found["precision"] == "int8" and {trial["precision"] for trial in found["trials"]} >= {"fp32", "int8"}
    store = open_store(f"sqlite:///{tmp_path / 'data' / 'ancilla.db'}", now)
    (row,) = [row for row in store.audit() if row.event == "package-accepted"]
    assert row.actor.startswith("operator:") and '"int8"' in row.details
    store.close()
    assert main(["check", "--json", "-c", str(file)]) == 1  # no PACS there
    checks = {check["name"]: check for check in said(capsys)["checks"]}
    assert checks["golden test-lungs"]["good"] and "runs in int8" in checks["golden test-lungs"]["words"]


def test_accept_fails_when_the_precision_that_is_asked_for_does_not_agree(tmp_path: Path, capsys: Capture) -> None:
    file = configured(tmp_path, int8_package.with_int8(tmp_path / "package", shift=150), precision="int8")
    assert main(["models", "accept", "--json", "-c", str(file)]) == 1
    (found,) = said(capsys)
    assert found["precision"] == "fp32"
    assert main(["check", "--json", "-c", str(file)]) == 1
    checks = {check["name"]: check for check in said(capsys)["checks"]}
    assert "is not accepted in int8 on this CPU: case-01" in checks["golden package"]["words"]


def test_bench_shows_every_precision_and_what_would_be_chosen(tmp_path: Path, capsys: Capture) -> None:
    assert main(["models", "bench", str(small_package.build(tmp_path / "package"))]) == 0
    out = capsys.readouterr().out
    assert "fp32" in out and "has no INT8 network" in out and "OpenVINO" in out


@pytest.mark.skipif(find_spec("nncf") is None, reason="quantisation needs the extra 'train'")
def test_quantize_makes_a_package_that_is_accepted(tmp_path: Path, capsys: Capture) -> None:
    folder, out = int8_package.build(tmp_path / "package"), tmp_path / "small"
    assert main(["models", "quantize", "--json", str(folder), "--out", str(out)]) == 0
    assert said(capsys)["agreement"] > 0.9
    assert main(["models", "show", "--json", str(out)]) == 0
    assert said(capsys)["precisions"] == "fp32, bf16, int8"
    assert main(["models", "quantize", str(out)]) == 1
    assert "has an INT8 network already" in capsys.readouterr().err
