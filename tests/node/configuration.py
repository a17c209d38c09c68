"""A complete small configuration for tests, and packages that are there but never opened."""

import tomllib
from pathlib import Path

from node.config import Settings, parse

TEXT = """
[node]
data_dir = "data"
[scp]
port = 0
bind = "127.0.0.1"
reserve_gb = 0
[[peer]]
ae_title = "CT01"
address = "127.0.0.1"
[study]
quiet_seconds = 30
[[model]]
package = "model"
send_to = ["pacs"]
[model.when]
Modality = "CT"
[[destination]]
name = "pacs"
host = "127.0.0.1"
port = 4242
ae_title = "PACS"
outputs = ["sr", "seg"]
[compute]
workers = 2
job_timeout_seconds = 100
max_attempts = 3
"""


def settings(folder: Path, text: str = TEXT) -> Settings:
    """The settings ``text`` means in ``folder``, where a package named "model" seems to be."""
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / "package.toml").touch()
    return parse(tomllib.loads(text), folder / "node.toml")
