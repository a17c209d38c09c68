# Two commands for a fresh machine: `make demo` and `make test`. Everything lives in .venv; nothing else is touched
# except the third-party peers that `make test` installs from the distribution's packages.
PYTHON ?= python3
BIN := .venv/bin
STUDY ?=
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PEERS := dcmtk orthanc orthanc-dicomweb dicom3tools pixelmed-apps libsaxonhe-java openjdk-17-jre-headless poppler-utils poppler-data rsyslog rsyslog-openssl

.PHONY: install install-test peers demo test check ohif bench clean

install: .installed
.installed: pyproject.toml constraints.txt
	[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch .installed

install-test: .installed-test
.installed-test: pyproject.toml constraints.txt
	[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test,viewer]"
	touch .installed .installed-test

# The programs the tests speak to. Only called by `make test`; says so before it uses sudo.
peers:
	@tests/install_peers.sh "$(SUDO)" $(PEERS)

demo: install
	$(BIN)/ancilla demo $(STUDY)

check: install-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: install-test peers check
	$(BIN)/python -m pytest -n 2 --dist loadfile
	$(MAKE) ohif

# The results as a radiologist sees them: OHIF (npm package) in a headless Chromium over Orthanc.
ohif: install-test peers
	@tests/ohif/install.sh "$(SUDO)"
	$(BIN)/python -m pytest -m viewer tests/ohif

bench: install-test peers
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test,bench]"
	for name in ingest sending results slides scale console turnaround inference cluster; do $(BIN)/python -m bench $$name || failed=1; done; exit $${failed:-0}

clean:
	rm -rf .venv .installed .installed-test ancilla-demo
