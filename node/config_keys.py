"""Every key of ``node.toml`` in one table: type, default, limits and the words that the template and the handbook show."""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from node.urgency import CHOICES, STUDY

Check = Callable[[Any], str]  # "" or what the value must be
REQUIRED: Final = None


def _is_ae(value: str) -> str:
    """PS3.5 section 6.2, VR AE: 1 to 16 characters of the default repertoire, no backslash, no control character."""
    good = re.fullmatch(r"[ -\[\]-~]{1,16}", value) and value.strip()
    return "" if good else "must be 1-16 printable ASCII characters without a backslash"


def _is_address(value: str) -> str:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return "must be an IP address of this machine, or 0.0.0.0 for all"
    return ""


def _is_network(value: str) -> str:
    try:
        ipaddress.ip_network(value or "0.0.0.0/0", strict=False)
    except ValueError:
        return 'must be an IP address or a network such as "10.1.0.0/16", or empty for any'
    return ""


def _is_filled(value: str | list[str]) -> str:
    return "" if value and (isinstance(value, list) or value.strip()) else "must not be empty"


def _is_database(value: str) -> str:
    return (
        ""
        if not value or value.startswith("sqlite:////")
        else "must be empty or start with sqlite:////; others are not available in this version"
    )


def _is_name(value: str) -> str:
    good = re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", value) and value != "sender"
    return "" if good else 'must be 1-64 letters, digits, "_", "." or "-", and not "sender"'


def _are_keys(values: list[str]) -> str:
    good = all(re.fullmatch(r"[A-Za-z0-9+/]{43}=", value) for value in values)
    return "" if good else "must be public keys as `ancilla models key` prints them (44 characters of base64)"


def _is_url(value: str) -> str:
    good = not value or re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", value)
    return "" if good else "must be http:// or https:// with host, port and path, without a name or password in it"


def _is_syslog(value: str) -> str:
    """tls://host:port or udp://host:port, or nothing."""
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("tls", "udp") and bool(parts.hostname) and parts.port is not None and parts.port > 0
    except ValueError:
        good = False
    bare = good and not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)
    return "" if bare or not value else "must be tls://host:port (or udp://host:port, unprotected), or empty"


def _is_scheduler(value: str) -> str:
    good = not value or re.fullmatch(r"(tls|tcp)://([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:]+\]):[0-9]{1,5}", value)
    return "" if good else "must be tls://host:port or, on this machine alone, tcp://127.0.0.1:port"


def between(low: float, high: float) -> Check:
    """A check for numbers, both ends included."""
    return lambda value: "" if low <= value <= high else f"must be {low}-{high}"


def one_of(*choices: str) -> Check:
    """A check for a word, or for each word of a list."""

    def check(value: str | list[str]) -> str:
        words = [value] if isinstance(value, str) else value
        return "" if words and all(word in choices for word in words) else f"must be of: {', '.join(choices)}"

    return check


def _any_of(*choices: str) -> Check:
    """The same for a list that may be empty."""
    return lambda value: one_of(*choices)(value) if value else ""


@dataclass(frozen=True, slots=True)
class Key:
    """One key. ``default`` None: must be given. ``kind`` is the TOML type; float keys also take integers."""

    section: str
    name: str
    kind: type
    default: Any
    comment: str
    check: Check = lambda _: ""
    items: type = str  # of a list

    @property
    def path(self) -> str:
        """The full name that error messages and the handbook use."""
        return f"{self.section}.{self.name}"


# An index by section keeps the order of the table: it is the order of the template.
KEYS: Final = (
    Key("node", "data_dir", str, "./ancilla-data", "spool, results and database; relative to this file", _is_filled),
    Key("node", "database", str, "", "empty: ancilla.db in data_dir; else sqlite:////absolute/path", _is_database),
    Key("node", "institution", str, "", "stands in the results as Institution Name"),
    Key("node", "language", str, "en", "of the sentences in the reports: en, de, es, zh", one_of("en", "de", "es", "zh")),
    Key("scp", "ae_title", str, "ANCILLA", "how scanners call this node", _is_ae),
    Key("scp", "bind", str, "0.0.0.0", "address to listen on", _is_address),  # noqa: S104 - scanners are other machines
    Key("scp", "port", int, 11112, "TCP port; 0 lets the system choose one (for tests)", between(0, 65535)),
    Key("scp", "max_associations", int, 25, "more callers at the same time are told to try later", between(1, 1000)),
    Key(
        "scp",
        "reserve_gb",
        float,
        2.0,
        "below this free space images are refused with 0xA700 and nothing is lost",
        between(0, 1e6),
    ),
    Key("scp", "admit_unknown", bool, False, "true: anybody who reaches the port may send"),
    Key(
        "scp",
        "max_associations_per_peer",
        int,
        16,
        "the same for one AE title and address; 0: only max_associations counts",
        between(0, 1000),
    ),
    Key(
        "scp",
        "requests_per_second",
        float,
        100.0,
        "association requests of one address; more are told to try later; 0: no limit",
        between(0, 1e6),
    ),
    Key("scp", "request_seconds", float, 10.0, "from connecting to the complete request, and for TLS", between(0.1, 3600)),
    Key("scp", "idle_seconds", float, 60.0, "an association without a complete PDU for so long is aborted", between(1, 86400)),
    Key("scp", "association_seconds", float, 0.0, "an association that lasts longer is aborted; 0: no limit", between(0, 604800)),
    Key(
        "scp",
        "min_bytes_per_second",
        float,
        1000.0,
        "a sender that is slower, for longer than idle_seconds, is aborted; 0: no limit",
        between(0, 1e9),
    ),
    Key("scp", "max_pdu", int, 262144, "longest PDU in bytes, announced to senders", between(4096, 4194304)),
    Key("scp", "max_object_gb", float, 16.0, "a larger object is refused with 0xA700", between(1e-6, 1e6)),
    Key(
        "scp",
        "durability",
        str,
        "instance",
        "instance: each image survives a power cut once it is answered; association: once the release is",
        one_of("instance", "association"),
    ),
    Key(
        "scp",
        "prepared_mb",
        int,
        512,
        "space of zeros written ahead, as soon as somebody sends images in numbers, so that a sync is short; 0: none",
        between(0, 1 << 20),
    ),
    Key("scp.tls", "port", int, 2762, "TCP port for DICOM over TLS, beside scp.port", between(0, 65535)),
    Key("scp.tls", "cert", str, REQUIRED, "certificate of this node, with its chain (PEM)", _is_filled),
    Key("scp.tls", "key", str, REQUIRED, "its private key (PEM, without a password)", _is_filled),
    Key("scp.tls", "ca", str, "", "whose client certificates are good, with revocation lists (PEM); empty: none is looked at"),
    Key("scp.tls", "require_client_cert", bool, False, "true: nobody gets in without a good certificate; needs ca"),
    Key("scp.tls", "only", bool, False, "true: scp.port is not opened"),
    Key("peer", "ae_title", str, REQUIRED, "calling AE title of a sender", _is_ae),
    Key("peer", "address", str, "", "IP address or network it must come from; empty: any", _is_network),
    Key(
        "peer",
        "port",
        int,
        0,
        'where it takes results (send_to = ["sender"]) and commitment reports; 0: it does not',
        between(0, 65535),
    ),
    Key(
        "study",
        "quiet_seconds",
        float,
        30.0,
        "nothing new for so long and nobody sending: the study is complete; the longest that is learned",
        between(0, 86400),
    ),
    Key("study", "learn_quiet", bool, True, "true: wait as long as the device's own pauses ask for, up to quiet_seconds"),
    Key("study", "quiet_floor_seconds", float, 5.0, "never learn a shorter quiet time", between(0, 86400)),
    Key("study", "watch_gaps", bool, True, "true: wait for slices that a regular stack lacks"),
    Key("study", "compare", bool, True, "true: say how findings changed since the patient's earlier result of the same model"),
    Key("study", "max_wait_seconds", float, 1800.0, "complete after this time whatever is missing", between(1, 604800)),
    Key("model", "package", str, REQUIRED, "folder or .zip of a model package, or the id of a shipped one", _is_filled),
    Key("model", "send_to", list, REQUIRED, 'names of destinations, or "sender"', _is_filled),
    Key(
        "model",
        "priority",
        str,
        STUDY,
        "study: as its images say (Requested Procedure Priority); stat overtakes",
        one_of(*CHOICES),
    ),
    Key(
        "model",
        "shadow",
        bool,
        False,
        "true: it runs and its answers are kept here, but nothing is sent to anybody; see docs/shadow.md",
    ),
    Key("model", "requires", list, [], "rules, one per series that must be there; see docs/completeness.md", items=dict),
    Key("model", "when", dict, {}, "rule over DICOM keywords, see below; empty: every series"),
    Key("destination", "name", str, REQUIRED, "what send_to and the audit log call it", _is_name),
    Key(
        "destination",
        "kind",
        str,
        "dicom",
        "dicom (C-STORE), dicomweb (STOW-RS) or folder",
        one_of("dicom", "dicomweb", "folder"),
    ),
    Key(
        "destination",
        "profile",
        str,
        "generic",
        "the viewer at the other end: generic, ohif, weasis, slim or legacy",
        one_of("generic", "ohif", "weasis", "slim", "legacy"),
    ),
    Key("destination", "host", str, "", "of a dicom destination: host name or address"),
    Key("destination", "port", int, 104, "of a dicom destination", between(1, 65535)),
    Key("destination", "ae_title", str, "", "of a dicom destination: how we call it"),
    Key("destination", "calling_ae", str, "", "how we name ourselves to it; empty: scp.ae_title"),
    Key("destination", "path", str, "", "of a folder destination: where files are written"),
    Key("destination", "url", str, "", "of a dicomweb destination: the service, such as https://pacs.example/dicom-web", _is_url),
    Key("destination", "token_file", str, "", "of a dicomweb destination: a file with a bearer token"),
    Key("destination", "password_file", str, "", "of a dicomweb destination: a file with user:password"),
    Key("destination", "tls", bool, False, "of a dicom destination: true: by TLS; a dicomweb destination has it in its url"),
    Key(
        "destination",
        "ca_file",
        str,
        "",
        "with TLS: whose certificate, for that host, is good (PEM); empty: the system's",
    ),
    Key(
        "destination",
        "cert_file",
        str,
        "",
        "with TLS: our certificate with its chain (PEM), if it asks for one",
    ),
    Key("destination", "key_file", str, "", "with TLS: its private key (PEM, without a password); empty: it is in cert_file"),
    Key(
        "destination",
        "outputs",
        list,
        [],
        "which results it gets: sr, seg, labelmap, fractional, pm, gsps, sc, pdf, ann, kos; empty: what suits the profile",
        _any_of("sr", "seg", "labelmap", "fractional", "pm", "gsps", "sc", "pdf", "ann", "kos"),
    ),
    Key(
        "destination",
        "priors",
        bool,
        False,
        "true: ask it by C-FIND and C-GET for a patient's earlier reports when this node has none; see study.compare",
    ),
    Key(
        "destination",
        "commitment",
        bool,
        False,
        "true: ask it to take responsibility for the results it got, and wait for its word",
    ),
    Key("destination", "count", bool, False, "true: ask by C-FIND whether it has more images of a study than this node"),
    Key("destination", "timeout_seconds", float, 30.0, "for connecting and for each answer", between(1, 3600)),
    Key(
        "models",
        "trusted_keys",
        list,
        [],
        "Ed25519 public keys in base64; not empty: other packages must be signed by one",
        _are_keys,
    ),
    Key(
        "compute",
        "executor",
        str,
        "processes",
        "processes: worker processes on this machine; dask: `ancilla worker` on other machines too, see docs/cluster.md",
        one_of("processes", "dask"),
    ),
    Key("compute", "address", str, "", "of the Dask scheduler, such as tls://host:8786", _is_scheduler),
    Key("compute", "workers", int, 0, "0: from the number of cores, one worker per four", between(0, 256)),
    Key("compute", "threads", int, 0, "of each worker; 0: cores divided by workers", between(0, 1024)),
    Key(
        "compute",
        "precision",
        str,
        "auto",
        "auto: what acceptance on this CPU chose; or fp32, bf16, int8, when accepted",
        one_of("auto", "fp32", "bf16", "int8"),
    ),
    Key(
        "compute",
        "memory_gb",
        float,
        0.0,
        "for all jobs together, by the peaks of their packages; 0: 80 % of the machine",
        between(0, 1e6),
    ),
    Key("compute", "job_timeout_seconds", float, 1800.0, "a job that takes longer is killed and tried again", between(1, 604800)),
    Key("compute", "max_attempts", int, 3, 'then the PACS is told "failed" with the reason', between(1, 100)),
    Key("compute", "optimistic", bool, True, "true: idle workers begin with studies that still arrive; no result depends on it"),
    Key("compute", "cache_gb", float, 2.0, "how much of that is kept on disk, the newest studies first", between(0, 1e6)),
    Key(
        "compute.tls",
        "ca",
        str,
        REQUIRED,
        "whose certificates are good in this cluster (PEM); an authority of its own",
        _is_filled,
    ),
    Key("compute.tls", "cert", str, REQUIRED, "certificate of this machine, with its chain (PEM)", _is_filled),
    Key("compute.tls", "key", str, REQUIRED, "its private key (PEM, without a password)", _is_filled),
    Key("delivery", "give_up_hours", float, 72.0, "an unreachable destination is tried for so long", between(0, 8760)),
    Key("delivery", "max_backoff_seconds", float, 900.0, "longest pause between two tries", between(1, 86400)),
    Key(
        "retention",
        "days",
        float,
        0.0,
        "complete studies that nobody touched for so long give their images and results back; 0: never",
        between(0, 36500),
    ),
    Key(
        "retention",
        "free_gb",
        float,
        0.0,
        "below this free space they do so earlier, the oldest first, but not within an hour; 0: no",
        between(0, 1e6),
    ),
    Key(
        "retention",
        "archive",
        str,
        "",
        "a dicom destination that is asked by C-FIND for images this node has committed to; empty: these stay",
    ),
    Key("audit", "syslog", str, "", "audit repository (ATNA) that gets every row: tls://host:6514; empty: none", _is_syslog),
    Key("audit", "ca_file", str, "", "with tls: whose certificate, for that host, is good (PEM); empty: the system's"),
    Key("audit", "cert_file", str, "", "with tls: our certificate with its chain (PEM), if the repository asks for one"),
    Key("audit", "key_file", str, "", "with tls: its private key (PEM, without a password); empty: it is in cert_file"),
    Key("audit", "timeout_seconds", float, 10.0, "for connecting, and for the repository to take what is sent", between(1, 3600)),
    Key("console", "bind", str, "127.0.0.1", "address of the web server; without [console] there is none", _is_address),
    Key("console", "port", int, 8080, "TCP port; 0 lets the system choose one (for tests)", between(0, 65535)),
    Key("console", "stow", bool, False, "true: takes DICOM files by STOW-RS at /dicom-web/studies, see web.md"),
    Key("console", "pages", bool, True, "true: the pages for administrators, and /metrics; see console.md"),
    Key(
        "console",
        "admin_file",
        str,
        "",
        "logins for the pages, made by `ancilla login`; empty: no login, and only where bind is loopback",
    ),
    Key("console", "token_file", str, "", "who has a token of this file may send by STOW-RS; empty: only peers with an address"),
)

SECTIONS: Final = {
    "node": "This installation.",
    "scp": "How scanners reach the node.",
    "scp.tls": "DICOM over TLS; without this section there is none. See docs/security.md.",
    "peer": "Who may send; one block per sender. Unknown callers are refused and listed: `ancilla admit --list`.",
    "study": "When a study counts as complete.",
    "model": "Which model runs on which series; one block per model.",
    "destination": "Where results go; one block per destination.",
    "models": "Whose packages are taken; those that came with the product always are. See docs/model-package.md.",
    "compute": "How models run.",
    "compute.tls": "Of a Dask scheduler behind tls://. See docs/cluster.md.",
    "delivery": "What happens when a destination cannot be reached.",
    "retention": "When images are deleted here; never before their answers were delivered. See docs/retention.md.",
    "audit": "Where the audit log is sent to as DICOM audit messages. See docs/audit.md.",
    "console": "The web server of this node: pages for administrators, metrics, and STOW-RS when asked for. See docs/console.md.",
}
OPTIONAL: Final = frozenset({"scp.tls", "compute.tls"})  # there only when it is written; a new file has it as a comment
TABLES: Final = frozenset({"peer", "model", "destination"})  # written [[name]], any number of them


def keys_of(section: str) -> dict[str, Key]:
    """The keys of one section by name, in the order of the template."""
    return {key.name: key for key in KEYS if key.section == section}
