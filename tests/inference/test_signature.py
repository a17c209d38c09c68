"""Who sealed a package: signatures of SHA256SUMS, trusted keys, and what breaks them."""

import base64
import shutil
import subprocess
from pathlib import Path

import pytest

from domain.errors import ConfigurationError, PackageError
from inference import package, signature
from inference.package import load
from node.__main__ import main
from node.config import parse
from node.loaded import load_models
from tests.inference import small_package


@pytest.fixture
def folder(package_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(package_folder, tmp_path / "signed"))


def test_a_signed_package_loads_and_names_its_signers(folder: Path, tmp_path: Path) -> None:
    digest = load(folder).digest
    first, second = signature.new_key(tmp_path / "a.pem"), signature.new_key(tmp_path / "b.pem")
    assert (tmp_path / "a.pem").stat().st_mode & 0o077 == 0
    assert signature.sign(folder, tmp_path / "a.pem") == first
    signature.sign(folder, tmp_path / "b.pem")
    signature.sign(folder, tmp_path / "b.pem")  # again changes nothing
    found = load(folder)
    assert found.digest == digest and signature.signers(found.files) == (first, second)
    assert signature.check(folder, [second]) == second
    zipped = Path(shutil.make_archive(str(tmp_path / "z"), "zip", folder))
    assert signature.check(zipped, [first, "x"]) == first


def test_a_package_without_a_trusted_signature_is_refused(folder: Path, tmp_path: Path) -> None:
    known = signature.new_key(tmp_path / "known.pem")
    signature.new_key(tmp_path / "other.pem")
    with pytest.raises(PackageError, match="not signed by a trusted key"):
        signature.check(folder, [known])
    signature.sign(folder, tmp_path / "other.pem")
    with pytest.raises(PackageError, match="not signed by a trusted key"):
        signature.check(folder, [known])


def test_a_changed_package_or_signature_is_refused(folder: Path, tmp_path: Path) -> None:
    key = signature.new_key(tmp_path / "k.pem")
    signature.sign(folder, tmp_path / "k.pem")
    written = (folder / "SHA256SUMS.sig").read_text()
    other = small_package.build(tmp_path / "other", toml=small_package.TOML.replace("1.2.3", "1.2.4"))
    (other / "SHA256SUMS.sig").write_text(written)
    with pytest.raises(PackageError, match="is not of this package"):
        signature.check(other, [key])
    damaged = base64.b64encode(bytes(64)).decode()
    (folder / "SHA256SUMS.sig").write_text(f"{written.rsplit(' ', 1)[0]} {damaged}\n")
    with pytest.raises(PackageError, match="is not of this package"):
        signature.check(folder, [key])
    (folder / "SHA256SUMS.sig").write_text("rsa x y\n")
    with pytest.raises(PackageError, match="a line that is not"):
        signature.check(folder, [key])


def test_sealing_a_changed_package_takes_its_signature_away(folder: Path, tmp_path: Path) -> None:
    signature.new_key(tmp_path / "k.pem")
    signature.sign(folder, tmp_path / "k.pem")
    package.seal(folder)
    assert (folder / "SHA256SUMS.sig").exists()
    (folder / "MODEL_CARD.md").write_text("# Changed\n")
    package.seal(folder)
    assert not (folder / "SHA256SUMS.sig").exists()


def test_keys_of_other_kinds_and_unsealed_packages_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "words.pem").write_text("no key")
    with pytest.raises(PackageError, match="no private key"):
        signature.sign(folder, tmp_path / "words.pem")
    key = signature.new_key(tmp_path / "k.pem")
    assert signature.is_key(key) and not signature.is_key("abc")
    with pytest.raises(PackageError, match="never overwritten"):
        signature.new_key(tmp_path / "k.pem")
    (folder / "MODEL_CARD.md").write_text("# Changed\n")
    with pytest.raises(PackageError, match="changed after"):
        signature.sign(folder, tmp_path / "k.pem")


def test_a_key_made_by_openssl_signs(folder: Path, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    path = tmp_path / "openssl.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", path], check=True, capture_output=True)
    assert signature.check(folder, [signature.sign(folder, path)])


def test_a_node_with_trusted_keys_takes_signed_and_shipped_packages_only(folder: Path, tmp_path: Path) -> None:
    key = signature.new_key(tmp_path / "k.pem")
    document = {
        "node": {"data_dir": str(tmp_path / "data")},
        "model": [{"package": str(folder), "send_to": []}, {"package": "chest-ct-opacity", "send_to": []}],
        "models": {"trusted_keys": [key]},
    }
    document["destination"] = [{"name": "here", "kind": "folder", "path": str(tmp_path / "out")}]
    for model in document["model"]:  # type: ignore[attr-defined]
        model["send_to"] = ["here"]
    settings = parse(document, tmp_path / "node.toml")
    with pytest.raises(ConfigurationError, match=r"model\[1\].package: signed is not signed by a trusted key"):
        load_models(settings)
    signature.sign(folder, tmp_path / "k.pem")
    assert [model.package_id for model in load_models(settings)] == ["test-lungs", "chest-ct-opacity"]
    document["models"] = {"trusted_keys": ["short"]}
    with pytest.raises(ConfigurationError, match="trusted_keys"):
        parse(document, tmp_path / "node.toml")


def test_the_commands_make_a_key_sign_and_verify(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "key", str(tmp_path / "k.pem")]) == 0
    key = capsys.readouterr().out.strip()
    verify = ["models", "verify", str(folder), "--files-only", "--trusted", key]
    assert main(verify) == 1
    assert main(["models", "sign", str(folder), "--key", str(tmp_path / "k.pem")]) == 0
    capsys.readouterr()
    assert main(verify) == 0
    assert f"signed by {key}"[:30] in capsys.readouterr().out.replace("\n", " ")
