"""``node.toml``, read once into frozen values; whatever is wrong is a ConfigurationError that names the key."""

import ipaddress
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from domain.destinations import Destination
from domain.errors import ConfigurationError
from domain.instances import Caller
from domain.repositories import Repository
from node.config_check import check_sections, near, read_section
from node.config_compute import ComputeSettings, compute_of
from node.profiles import PROFILES
from node.rules import Rule, parse_rule
from node.urgency import STUDY
from scp.tls import TlsSettings

SENDER = "sender"  # in send_to: whoever sent the study
SHIPPED = Path(__file__).resolve().parent / "shipped" / "models"  # in an installed package
CHECKOUT = Path(__file__).resolve().parents[1] / "models"  # in a clone


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """[node]. ``database`` is a SQLAlchemy URL."""

    data_dir: Path
    database: str
    institution: str
    language: str = "en"


@dataclass(frozen=True, slots=True)
class ScpSettings:
    """[scp] and [scp.tls]."""

    ae_title: str
    bind: str
    port: int
    max_associations: int
    reserve_gb: float
    admit_unknown: bool
    max_associations_per_peer: int
    requests_per_second: float
    request_seconds: float
    idle_seconds: float
    association_seconds: float
    min_bytes_per_second: float
    max_pdu: int
    max_object_gb: float
    durability: str
    prepared_mb: int
    tls: TlsSettings | None = None  # None: no port for TLS

    @property
    def reserve_bytes(self) -> int:
        """Free space to keep (1 GB is 10^9 bytes)."""
        return int(self.reserve_gb * 1e9)

    @property
    def prepared_bytes(self) -> int:
        """Zeros written ahead (1 MB is 10^6 bytes)."""
        return self.prepared_mb * 1_000_000

    @property
    def max_object(self) -> int:
        """Bytes of the largest object."""
        return int(self.max_object_gb * 1e9)


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """[[peer]]. ``port`` 0: takes no results."""

    ae_title: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class StudySettings:
    """[study]."""

    quiet_seconds: float
    learn_quiet: bool
    quiet_floor_seconds: float
    watch_gaps: bool
    max_wait_seconds: float
    compare: bool = True


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """[[model]]. ``slot`` is its position in the file and the number range of its results."""

    package: Path
    send_to: tuple[str, ...]
    when: Rule
    slot: int
    requires: tuple[Rule, ...] = ()  # each asks for one series
    priority: str = STUDY  # or a name of domain.jobs.Priority
    shadow: bool = False  # nothing it answers is sent


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """[delivery]."""

    give_up_hours: float
    max_backoff_seconds: float


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """[retention]. 0: never."""

    days: float = 0.0
    free_gb: float = 0.0
    archive: str = ""  # name of a destination


@dataclass(frozen=True, slots=True)
class ConsoleSettings:
    """[console]. ``token_file`` None: there are no tokens; ``admin_file`` None: there are no logins."""

    bind: str
    port: int
    stow: bool
    token_file: Path | None
    pages: bool = True
    admin_file: Path | None = None

    @property
    def is_local(self) -> bool:
        """Whether it listens for this machine only."""
        return ipaddress.ip_address(self.bind).is_loopback

    def url(self, port: int) -> str:
        """Where the pages are when it listens on ``port``; "" without pages."""
        host = f"[{self.bind}]" if ":" in self.bind else self.bind
        return f"http://{host}:{port}/" if self.pages else ""


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole file."""

    file: Path
    node: NodeSettings
    scp: ScpSettings
    peers: tuple[PeerSettings, ...]
    study: StudySettings
    models: tuple[ModelSettings, ...]
    destinations: tuple[Destination, ...]
    compute: ComputeSettings
    delivery: DeliverySettings
    console: ConsoleSettings | None = None  # None: no web server
    retention: RetentionSettings = RetentionSettings()
    audit: Repository | None = None  # None: the log stays here
    trusted_keys: tuple[str, ...] = ()  # [models]; empty: packages need no signature

    def target(self, name: str) -> Destination | None:
        """The destination of that name; "sender:AE@address" (see ``sender_name``) is looked up among the peers."""
        for destination in self.destinations:
            if destination.name == name:
                return destination
        ae_title, at, address = name.removeprefix(f"{SENDER}:").rpartition("@")
        if not (name.startswith(f"{SENDER}:") and at):
            return None
        peer = self._peer(ae_title, address)
        if peer is None or not peer.port:
            return None
        ours = self.scp.ae_title
        outputs = PROFILES["generic"].outputs
        return Destination(name, "dicom", host=address, port=peer.port, ae_title=peer.ae_title, calling_ae=ours, outputs=outputs)

    def _peer(self, ae_title: str, address: str) -> PeerSettings | None:
        for peer in self.peers:
            network = ipaddress.ip_network(peer.address or "0.0.0.0/0", strict=False)
            if peer.ae_title.strip() == ae_title and (not peer.address or ipaddress.ip_address(address) in network):
                return peer
        return None


def sender_name(caller: Caller) -> str:
    """The destination name that stands for whoever sent a study."""
    return f"{SENDER}:{caller.calling_ae}@{caller.address}"


def load(file: Path) -> Settings:
    """The settings in ``file``; relative paths are relative to its folder. Raises ConfigurationError."""
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"{file} does not exist; `ancilla init` writes one, -c names another") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} is not valid TOML: {error}") from None
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from None
    return parse(document, file.resolve())


def parse(document: Mapping[str, Any], file: Path) -> Settings:
    """The settings in a parsed document that stands at ``file``. Raises ConfigurationError."""
    check_sections(document)
    folder = file.parent
    plain = dict(document) | {"scp": {name: value for name, value in document.get("scp", {}).items() if name != "tls"}}
    sections = ("node", "scp", "study", "models", "delivery", "retention", "audit")
    one = {name: read_section(name, plain.get(name, {}), name) for name in sections}
    scp = ScpSettings(**one["scp"], tls=_tls(document.get("scp", {}), folder))
    settings = Settings(
        file=file,
        node=_node(one["node"], folder),
        scp=scp,
        peers=tuple(PeerSettings(**values) for values in _blocks(document, "peer")),
        study=StudySettings(**one["study"]),
        models=tuple(_model(values, slot, folder) for slot, values in enumerate(_blocks(document, "model"))),
        destinations=tuple(_destination(v, i, folder, scp.ae_title) for i, v in enumerate(_blocks(document, "destination"), 1)),
        compute=compute_of(document.get("compute", {}), folder, os.cpu_count() or 1),
        delivery=DeliverySettings(**one["delivery"]),
        retention=RetentionSettings(**one["retention"]),
        audit=_repository(one["audit"], folder),
        console=_console(document["console"], folder) if "console" in document else None,
        trusted_keys=tuple(one["models"]["trusted_keys"]),
    )
    _check_names(settings)
    return settings


def _blocks(document: Mapping[str, Any], section: str) -> list[dict[str, Any]]:
    return [read_section(section, block, f"{section}[{i}]") for i, block in enumerate(document.get(section, ()), 1)]


def _node(values: dict[str, Any], folder: Path) -> NodeSettings:
    data_dir = _resolve(values["data_dir"], folder)
    database = values["database"] or f"sqlite:///{data_dir / 'ancilla.db'}"
    return NodeSettings(data_dir, database, values["institution"], values["language"])


def _resolve(path: str, folder: Path) -> Path:
    return Path(os.path.normpath(folder / Path(path).expanduser()))


def _tls(scp: Mapping[str, Any], folder: Path) -> TlsSettings | None:
    if "tls" not in scp:
        return None
    if not isinstance(scp["tls"], dict):
        raise ConfigurationError("scp.tls must be written [scp.tls]")
    values = read_section("scp.tls", scp["tls"], "scp.tls")
    files = {name: _resolve(values[name], folder) if values[name] else None for name in ("cert", "key", "ca")}
    if values["require_client_cert"] and not values["ca"]:
        raise ConfigurationError("scp.tls.ca is missing: scp.tls.require_client_cert = true needs it")
    return TlsSettings(**(values | files))


def _console(given: Mapping[str, Any], folder: Path) -> ConsoleSettings:
    values = read_section("console", given, "console")
    files = {name: _resolve(values[name], folder) if values[name] else None for name in ("token_file", "admin_file")}
    console = ConsoleSettings(**(values | files))
    if console.pages and not console.admin_file and not console.is_local:
        words = "its pages would be open to other machines; name a file of logins, or set pages = false"
        raise ConfigurationError(f"console.admin_file is missing: console.bind is {console.bind}, and {words}")
    return console


def _repository(values: dict[str, Any], folder: Path) -> Repository | None:
    parts = urlsplit(values["syslog"])
    given = [name for name in ("ca_file", "cert_file", "key_file") if values[name]]
    for name in given:
        if parts.scheme != "tls":
            raise ConfigurationError(f'audit.{name} has no meaning without audit.syslog = "tls://host:port"; remove it')
    if "key_file" in given and "cert_file" not in given:
        raise ConfigurationError("audit.key_file is the key of no certificate; set audit.cert_file")
    if not values["syslog"]:
        return None
    files = {name: str(_resolve(values[name], folder)) for name in given}
    return Repository(parts.scheme, parts.hostname or "", parts.port or 0, **files, timeout_seconds=values["timeout_seconds"])


def _model(values: dict[str, Any], slot: int, folder: Path) -> ModelSettings:
    rule = parse_rule(values["when"], f"model[{slot + 1}].when")
    requires = tuple(parse_rule(table, f"model[{slot + 1}].requires[{i}]") for i, table in enumerate(values["requires"], 1))
    try:
        package = find_package(values["package"], folder)
    except ConfigurationError as error:
        raise ConfigurationError(f"model[{slot + 1}].package: {error}") from None
    targets = tuple(dict.fromkeys(values["send_to"]))
    return ModelSettings(package, targets, rule, slot, requires, values["priority"], values["shadow"])


def shipped_packages() -> dict[str, Path]:
    """Packages that came with the product, by id (the name of the folder)."""
    roots = [root for root in (SHIPPED, CHECKOUT) if root.is_dir()]
    return {path.parent.name: path.parent for root in roots for path in sorted(root.glob("*/package.toml"))}


def find_package(name: str, folder: Path) -> Path:
    """The folder or .zip that ``name`` means: a path relative to ``folder``, or the id of a shipped package."""
    path = _resolve(name, folder)
    if (path / "package.toml").is_file() or (path.suffix == ".zip" and path.is_file()):
        return path
    shipped = shipped_packages()
    if name in shipped:
        return shipped[name]
    hint = near(name, shipped) or (f"; shipped with this version: {', '.join(shipped)}" if shipped else "")
    raise ConfigurationError(f'"{name}" is neither a folder with a package.toml, nor a .zip, nor a shipped model{hint}')


# What a destination of each kind must have, and what only it may have.
_NEEDED: Final = {"dicom": ("host", "ae_title"), "dicomweb": ("url",), "folder": ("path",)}
_OWN: Final = {
    "dicom": ("host", "ae_title", "count", "priors", "commitment", "tls"),
    "dicomweb": ("url", "token_file", "password_file"),
    "folder": ("path",),
}


def _check_secrets(values: dict[str, Any], path: str) -> None:
    if (values["token_file"] or values["password_file"]) and not _is_private(values["url"]):
        raise ConfigurationError(f"{path}.url must begin with https://: a token or password never crosses a network in the open")
    if values["token_file"] and values["password_file"]:
        raise ConfigurationError(f"{path}: token_file and password_file exclude each other")


def _check_certificates(values: dict[str, Any], path: str) -> None:
    for name in ("ca_file", "cert_file", "key_file"):
        if values[name] and not (values["tls"] or urlsplit(values["url"]).scheme == "https"):
            raise ConfigurationError(f"{path}.{name} has no meaning without TLS; remove it, or set {path}.tls")
    if values["key_file"] and not values["cert_file"]:
        raise ConfigurationError(f"{path}.key_file is the key of no certificate; set {path}.cert_file")


_FILES: Final = ("path", "token_file", "password_file", "ca_file", "cert_file", "key_file")


def _destination(values: dict[str, Any], number: int, folder: Path, our_ae: str) -> Destination:
    path = f"destination[{number}]"
    kind = values["kind"]
    for name in _NEEDED[kind]:
        if not values[name].strip():
            raise ConfigurationError(f'{path}.{name} is missing: a destination of kind "{kind}" needs it')
    for name in (name for other, names in _OWN.items() if other != kind for name in names):
        if values[name]:
            raise ConfigurationError(f'{path}.{name} has no meaning for a destination of kind "{kind}"; remove it')
    if max(len(values["ae_title"]), len(values["calling_ae"])) > 16:
        raise ConfigurationError(f"{path}: an AE title has at most 16 characters")
    _check_secrets(values, path)
    _check_certificates(values, path)
    files = {name: str(_resolve(values[name], folder)) for name in _FILES if values[name]}
    profile = PROFILES[values["profile"]]
    made = {
        "outputs": tuple(values["outputs"]) or profile.outputs,
        "volumetric": profile.volumetric,
        "calling_ae": values["calling_ae"].strip() or our_ae.strip(),
        "url": values["url"].rstrip("/"),
    }
    return Destination(**(values | files | made))


def _is_private(url: str) -> bool:
    """Encrypted, or not leaving this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or parts.hostname in ("localhost", "127.0.0.1", "::1")


def _check_names(settings: Settings) -> None:
    names = [destination.name for destination in settings.destinations]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(f'destination.name "{name}" is used twice; names must differ')
    _check_archive(settings)
    for model in settings.models:
        _check_targets(model, names, settings)


def _check_archive(settings: Settings) -> None:
    name, kinds = settings.retention.archive, {destination.name: destination.kind for destination in settings.destinations}
    if name and name not in kinds:
        raise ConfigurationError(f'retention.archive: there is no destination "{name}"{near(name, kinds)}')
    if name and kinds[name] != "dicom":
        raise ConfigurationError(f'retention.archive: "{name}" is of kind "{kinds[name]}"; only one of kind "dicom" can be asked')


def _check_targets(model: ModelSettings, names: Sequence[str], settings: Settings) -> None:
    where = f"model[{model.slot + 1}].send_to"
    for target in model.send_to:
        if target == SENDER:
            _check_sender(settings, where)
        elif target not in names:
            raise ConfigurationError(f'{where}: there is no destination "{target}"{near(target, [*names, SENDER])}')


def _check_sender(settings: Settings, where: str) -> None:
    """Every study gets an answer, so whoever may send must be able to take one."""
    if settings.scp.admit_unknown:
        raise ConfigurationError(f'{where}: "sender" needs scp.admit_unknown = false, unknown callers have no port')
    for number, peer in enumerate(settings.peers, 1):
        if not peer.port:
            raise ConfigurationError(f'peer[{number}].port is missing: {where} has "sender", which sends results to every peer')
