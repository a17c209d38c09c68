"""The file of logins: passwords are ours and not kept, whatever else stands in the file is refused with a sentence."""

import stat
from pathlib import Path

import pytest

from domain.errors import ConfigurationError, PermanentError
from node.__main__ import main
from node.config import parse
from node.logins import add_login, read_logins, remove_login


def test_a_password_is_shown_once_and_kept_as_a_digest(tmp_path: Path) -> None:
    file = tmp_path / "logins"
    password = add_login(file, "anna", True)
    assert add_login(file, "anna", True) != password
    add_login(file, "prometheus", False)
    assert len(password) >= 32 and password not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [(login.name, login.may_act) for login in read_logins(file)] == [("anna", True), ("prometheus", False)]
    remove_login(file, "anna")
    assert [login.name for login in read_logins(file)] == ["prometheus"]
    with pytest.raises(PermanentError, match="no login anna"):
        remove_login(file, "anna")
    with pytest.raises(PermanentError, match="letters"):
        add_login(file, "an:na", True)


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (None, 0, "does not exist; `ancilla login NAME` makes it"),
        ("anna:" + "0" * 64, 0o644, "chmod 600"),
        ("anna:secret", 0o600, "not NAME:SHA256"),
        ("# only words\n", 0o600, "has no login"),
        ("anna:" + "0" * 64 + ":all", 0o600, "not NAME:SHA256"),
    ],
)
def test_a_file_that_protects_nothing_is_refused(tmp_path: Path, content: str | None, mode: int, words: str) -> None:
    if content is not None:
        (tmp_path / "logins").write_text(content)
        (tmp_path / "logins").chmod(mode)
    with pytest.raises(ConfigurationError, match=words):
        read_logins(tmp_path / "logins")


def test_pages_that_others_can_reach_need_logins(tmp_path: Path) -> None:
    for bind in ("0.0.0.0", "192.0.2.1", "::"):
        with pytest.raises(ConfigurationError, match=r"console\.admin_file is missing: console\.bind is"):
            parse({"console": {"bind": bind}}, tmp_path / "node.toml")
        for also in ({"pages": False}, {"admin_file": "logins"}):
            assert parse({"console": {"bind": bind, **also}}, tmp_path / "node.toml").console is not None
    for bind in ("127.0.0.1", "127.0.0.9", "::1"):
        assert parse({"console": {"bind": bind}}, tmp_path / "node.toml").console is not None


def test_login_is_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toml = tmp_path / "node.toml"
    toml.write_text('[console]\nbind = "0.0.0.0"\nadmin_file = "logins"\n')
    assert main(["login", "anna", "-c", str(toml)]) == 0
    name, password = capsys.readouterr().out.split()
    assert (name, len(password)) == ("anna", 32)
    assert main(["login", "anna", "--remove", "-c", str(toml)]) == 0
    toml.write_text("[console]\n")
    assert main(["login", "anna", "-c", str(toml)]) == 2
    assert "console.admin_file is empty" in capsys.readouterr().err
