"""Every mistake in node.toml is one sentence that names the key."""

import tomllib
from pathlib import Path

import pytest

from domain.errors import ConfigurationError
from domain.instances import Caller
from domain.repositories import Repository
from node.config import load, parse, sender_name
from node.config_check import read_section
from node.config_compute import ClusterTls
from node.config_keys import KEYS, OPTIONAL, SECTIONS, keys_of
from node.config_template import table, template
from tests.node.configuration import TEXT, settings


def test_defaults_are_those_of_the_table(tmp_path: Path) -> None:
    found = parse({}, tmp_path / "node.toml")
    assert (found.scp.port, found.scp.ae_title, found.scp.admit_unknown, found.scp.reserve_bytes) == (
        11112,
        "ANCILLA",
        False,
        2_000_000_000,
    )
    assert (found.study.quiet_seconds, found.study.max_wait_seconds) == (30, 1800)
    assert found.node.data_dir == tmp_path / "ancilla-data"
    assert found.node.database == f"sqlite:///{tmp_path}/ancilla-data/ancilla.db"
    assert found.compute.workers >= 1 and found.compute.threads >= 1


def test_relative_paths_start_at_the_folder_of_the_file(tmp_path: Path) -> None:
    found = settings(tmp_path, TEXT + '[[destination]]\nname = "files"\nkind = "folder"\npath = "../out"\n')
    assert found.node.data_dir == tmp_path / "data"
    assert found.models[0].package == tmp_path / "model"
    assert found.target("files") is not None and found.target("files").path == str(tmp_path.parent / "out")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[scp]\nprot = 1", 'unknown key scp.prot; did you mean "port"?'),
        ("[spc]\nport = 1", r'unknown section \[spc\]; did you mean "scp"?'),
        ("[scp]\nport = 70000", "scp.port must be 0-65535"),
        ('[retention]\narchive = "pasc"', 'retention.archive: there is no destination "pasc"'),
        (
            '[retention]\narchive = "out"\n[[destination]]\nname = "out"\nkind = "folder"\npath = "out"',
            'retention.archive: "out" is of kind "folder"',
        ),
        ('[scp]\nport = "11112"', "scp.port must be a whole number"),
        ("[scp]\nport = true", "scp.port must be a whole number"),
        ("[scp]\nport = 1.5", "scp.port must be a whole number"),
        ("[scp]\nadmit_unknown = 1", "scp.admit_unknown must be true or false"),
        ('[scp]\nae_title = "SEVENTEEN_LETTERS"', "scp.ae_title must be 1-16"),
        ('[scp]\nae_title = "A\\\\B"', "scp.ae_title must be 1-16"),
        ('[scp]\nbind = "here"', "scp.bind must be an IP address"),
        ("[study]\nquiet_seconds = -1", "study.quiet_seconds must be 0-86400"),
        ("[study]\nquiet_seconds = nan", "study.quiet_seconds must be 0-86400"),
        ("[[peer]]\naddress = '10.0.0.1'", r"peer\[1\].ae_title is missing"),
        (
            "[[peer]]\nae_title = 'A'\n[[peer]]\nae_title = 'B'\naddress = 'ct'",
            r"peer\[2\].address must be an IP address or a network",
        ),
        ("[peer]\nae_title = 'A'", r"peer must be written \[\[peer\]\]"),
        ("[[scp]]\nport = 1", r"scp must be written \[scp\]"),
        ("scp = 1", r"scp must be written \[scp\]"),
        ("[[destination]]\nname = 'a b'", r"destination\[1\].name must be"),
        ("[[destination]]\nname = 'sender'", r"destination\[1\].name must be"),
        ("[[destination]]\nname = 'a'", r"destination\[1\].host is missing"),
        ("[[destination]]\nname = 'a'\nkind = 'folder'", r"destination\[1\].path is missing"),
        ("[[destination]]\nname = 'a'\nhost='h'\nae_title='A'\npath='p'", r"destination\[1\].path has no meaning"),
        ("[[destination]]\nname = 'a'\nhost='h'\nae_title='A'\noutputs=['rs']", r"destination\[1\].outputs must be of: sr, seg"),
        ("[[destination]]\nname = 'a'\nkind = 'dicomweb'", r"destination\[1\].url is missing"),
        ("[[destination]]\nname = 'a'\nkind = 'dicomweb'\nurl = 'ftp://h/x'", r"destination\[1\].url must be http"),
        ("[[destination]]\nname = 'a'\nkind = 'dicomweb'\nurl = 'https://user:word@h/x'", r"without a name or password in it"),
        ("[[destination]]\nname = 'a'\nkind = 'dicomweb'\nurl = 'http://h/x'\ntoken_file = 't'", "must begin with https"),
        ("[[destination]]\nname = 'a'\nkind = 'dicomweb'\nurl = 'https://h'\nhost = 'h'", r"host has no meaning"),
        ("[[destination]]\nname = 'a'\nhost='h'\nae_title='A'\nca_file='c'", r"ca_file has no meaning without TLS"),
        ("[[destination]]\nname = 'a'\nhost='h'\nae_title='A'\ntls=true\nkey_file='k'", r"key_file is the key of no certificate"),
        ("[[destination]]\nname = 'a'\nkind='folder'\npath='p'\ntls=true", r"tls has no meaning"),
        (
            "[[destination]]\nname = 'a'\nkind='folder'\npath='p'\ncommitment = true",
            r"destination\[1\].commitment has no meaning",
        ),
        ("[scp.tls]\nport = 2762", "scp.tls.cert is missing"),
        ("[scp.tls]\ncert = 'a'\nkye = 'b'", 'unknown key scp.tls.kye; did you mean "key"?'),
        ("[scp.tls]\ncert = 'a'\nkey = 'b'\nrequire_client_cert = true", "scp.tls.ca is missing"),
        ("[scp]\ntls = true", r"scp.tls must be written \[scp.tls\]"),
        ("[scp]\nidle_seconds = 0", "scp.idle_seconds must be 1-86400"),
        ("[scp]\nmax_pdu = 1000", "scp.max_pdu must be 4096-4194304"),
        ("[audit]\nsyslog = 'tcp://h:514'", "audit.syslog must be tls://host:port"),
        ("[audit]\nsyslog = 'tls://h'", "audit.syslog must be tls://host:port"),
        ("[audit]\nsyslog = 'tls://h:6514/x'", "audit.syslog must be tls://host:port"),
        ("[audit]\nsyslog = 'tls://eve:secret@h:6514'", "audit.syslog must be tls://host:port"),
        ("[audit]\nsyslog = 'udp://h:514'\nca_file = 'c'", "audit.ca_file has no meaning without"),
        ("[audit]\ncert_file = 'c'", "audit.cert_file has no meaning without"),
        ("[audit]\nsyslog = 'tls://h:6514'\nkey_file = 'k'", "audit.key_file is the key of no certificate"),
        ("[console]\nport = 80800", "console.port must be 0-65535"),
        ("[compute]\nexecutor = 'dusk'", "compute.executor must be of: processes, dask"),
        ("[compute]\nexecutor = 'dask'", "compute.address is missing"),
        ("[compute]\nexecutor = 'dask'\naddress = 'host:8786'", "compute.address must be tls://host:port"),
        ("[compute]\nexecutor = 'dask'\naddress = 'tls://host:8786'", r"\[compute.tls\] is missing"),
        ("[compute]\nexecutor = 'dask'\naddress = 'tcp://host:8786'", "compute.address must begin with tls:// unless"),
        (
            "[compute]\nexecutor = 'dask'\naddress = 'tcp://localhost:1'\n[compute.tls]\nca='a'\ncert='b'\nkey='c'",
            r"\[compute.tls\] has no meaning",
        ),
        ("[compute]\nexecutor = 'dask'\naddress = 'tcp://[::1]:1'\nworkers = 2", "compute.workers has no meaning"),
        ("[compute]\nexecutor = 'dask'\naddress = 'tcp://[::1]:1'\nmemory_gb = 2", "compute.memory_gb has no meaning"),
        ("[compute]\naddress = 'tls://host:8786'", "compute.address has no meaning"),
        ("[compute.tls]\nca='a'\ncert='b'\nkey='c'", "compute.tls has no meaning"),
        ("[compute.tls]\nca='a'\ncert='b'", "compute.tls.key is missing"),
        ("[compute]\ntls = true", r"compute.tls must be written \[compute.tls\]"),
        ("[node]\ndatabase = 'postgresql://x'", "node.database must be empty or start with sqlite:////"),
        ("[[model]]\npackage = 'nothing'\nsend_to = ['pacs']", r'model\[1\].package: "nothing" is neither'),
        ("[[model]]\npackage = 'model'\nsend_to = []", r"model\[1\].send_to must not be empty"),
        ("[[model]]\npackage = 'model'\nsend_to = 'pacs'", r"model\[1\].send_to must be a list of texts"),
        (
            "[[model]]\npackage = 'model'\nsend_to = ['pasc']\n[[destination]]\nname='pacs'\nhost='h'\nae_title='A'",
            'no destination "pasc"; did you mean "pacs"',
        ),
        (
            "[[model]]\npackage = 'model'\nsend_to = ['a']\nwhen.Modalty = 'CT'",
            r'model\[1\].when.Modalty is not a DICOM keyword; did you mean "Modality"',
        ),
        ("[[model]]\npackage = 'model'\nsend_to = ['sender']\n[[peer]]\nae_title='A'", r"peer\[1\].port is missing"),
        ("[scp]\nadmit_unknown=true\n[[model]]\npackage = 'model'\nsend_to = ['sender']", "needs scp.admit_unknown = false"),
    ],
)
def test_a_mistake_names_its_key(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        settings(tmp_path, text)


def test_a_repository_is_an_address_with_the_files_of_its_tls(tmp_path: Path) -> None:
    assert settings(tmp_path).audit is None and settings(tmp_path, TEXT + "[audit]\nsyslog = ''\n").audit is None
    block = "[audit]\nsyslog = 'tls://[::1]:6514'\nca_file = 'ca.pem'\ncert_file = 'node.pem'\ntimeout_seconds = 3\n"
    found = settings(tmp_path, TEXT + block).audit
    assert found == Repository("tls", "::1", 6514, str(tmp_path / "ca.pem"), str(tmp_path / "node.pem"), "", 3.0)
    assert found.name == "tls://[::1]:6514"
    datagrams = settings(tmp_path, TEXT + "[audit]\nsyslog = 'udp://log.example:514'\n").audit
    assert datagrams is not None and (datagrams.transport, datagrams.name) == ("udp", "udp://log.example:514")


def test_two_destinations_cannot_share_a_name(tmp_path: Path) -> None:
    block = "[[destination]]\nname='pacs'\nhost='h'\nae_title='A'\n"
    with pytest.raises(ConfigurationError, match='"pacs" is used twice'):
        settings(tmp_path, block * 2)


def test_a_missing_file_and_broken_toml_are_configuration_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist; `ancilla init` writes one"):
        load(tmp_path / "node.toml")
    (tmp_path / "node.toml").write_text("[scp\nport = 1")
    with pytest.raises(ConfigurationError, match="not valid TOML"):
        load(tmp_path / "node.toml")


def test_results_can_go_back_to_whoever_sent_the_images(tmp_path: Path) -> None:
    text = TEXT.replace('["pacs"]', '["sender"]').replace('address = "127.0.0.1"', 'address = "10.1.0.0/16"\nport = 104', 1)
    found = settings(tmp_path, text)
    target = found.target(sender_name(Caller("CT01", "ANCILLA", "10.1.2.3")))
    assert target is not None
    assert (target.host, target.port, target.ae_title, target.calling_ae) == ("10.1.2.3", 104, "CT01", "ANCILLA")
    assert found.target(sender_name(Caller("CT01", "ANCILLA", "10.2.2.3"))) is None
    assert found.target("nobody") is None


def test_the_template_is_a_valid_file_and_names_every_key(tmp_path: Path) -> None:
    text = template()
    given = tomllib.loads(text)
    assert "tls" not in given["scp"], "TLS is written as a comment: it needs certificates"
    for section in set(SECTIONS) - OPTIONAL:
        blocks = given[section] if isinstance(given[section], list) else [given[section]]
        for block in blocks:
            read_section(section, block, section)
    for key in KEYS:
        if key.path != "model.when":
            assert f"{key.name} = " in text and key.comment in text, key.path
    assert "[model.when]" in text


def test_what_the_template_writes_without_an_example_are_the_defaults(tmp_path: Path) -> None:
    given = tomllib.loads(template())
    for section in ("scp", "study", "compute", "delivery"):
        assert given[section] == {key.name: key.default for key in keys_of(section).values()}


def test_tls_of_the_template_works_when_its_comment_marks_are_taken_away(tmp_path: Path) -> None:
    lines = template().splitlines()
    begin = lines.index("# [scp.tls]")
    end = lines.index("", begin)
    given = tomllib.loads("\n".join(line.removeprefix("# ") for line in lines[begin:end]))
    tls = parse(given, tmp_path / "node.toml").scp.tls
    assert tls is not None and (tls.port, tls.cert, tls.key, tls.ca) == (2762, tmp_path / "node.pem", tmp_path / "node.key", None)
    assert (tls.require_client_cert, tls.only) == (False, False)


def test_a_cluster_is_reached_by_its_address_and_three_files(tmp_path: Path) -> None:
    text = (
        "[compute]\nexecutor = 'dask'\naddress = 'tls://host:8786'\n[compute.tls]\nca = 'ca.pem'\ncert = '/etc/c.pem'\nkey = 'k'"
    )
    compute = settings(tmp_path, text).compute
    assert compute.tls == ClusterTls(tmp_path / "ca.pem", Path("/etc/c.pem"), tmp_path / "k")
    assert compute.threads == 0, "the machine of a worker decides"
    assert compute.memory_bytes > 1 << 50, "the memory of this machine has nothing to do with it"


def test_the_handbook_has_the_same_table_as_the_code() -> None:
    handbook = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert table() in handbook
