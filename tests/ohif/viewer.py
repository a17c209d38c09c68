"""OHIF itself, unchanged from its npm package, in a headless Chromium over an Orthanc: what it lists and what it draws."""

import contextlib
import http.client
import http.server
import io
import mimetypes
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
from PIL import Image
from playwright.sync_api import BrowserContext, Page, sync_playwright

from tests import peers

BUILT = Path(__file__).resolve().parents[2] / ".viewer" / "dist"  # unpacked by tests/ohif/install.sh
WAIT_MS = 90_000  # a software renderer on a busy machine

# Software WebGL; nothing is looked for on the internet.
CHROMIUM_OPTIONS = [
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",
]  # fmt: skip

CONFIGURATION = b"""window.config = {
  routerBasename: null, extensions: [], modes: [], customizationService: {}, showStudyList: true, maxNumberOfWebWorkers: 2,
  showWarningMessageForCrossOrigin: false, showCPUFallbackMessage: false, investigationalUseDialog: {option: 'never'},
  disableConfirmationPrompts: true, showErrorDetails: 'always', defaultDataSourceName: 'pacs',
  dataSources: [{namespace: '@ohif/extension-default.dataSourcesModule.dicomweb', sourceName: 'pacs', configuration: {
    friendlyName: 'PACS', name: 'pacs', qidoRoot: '/dicom-web', wadoRoot: '/dicom-web', qidoSupportsIncludeField: false,
    imageRendering: 'wadors', thumbnailRendering: 'wadors', enableStudyLazyLoad: true,
    omitQuotationForMultipartRequest: true, bulkDataURI: {enabled: true}}}]};"""

# OHIF's own lists, not what we think it should show.
STATE = """() => {
  const s = window.services || {}, all = s.segmentationService?.getSegmentations?.() || [];
  return {
    segments: all.map(x => Object.values(x.segments || {}).map(y => y.label)),
    measurements: (s.measurementService?.getMeasurements?.() || []).map(m => ({label: m.label, tool: m.toolName})),
    tracked: (s.displaySetService?.getActiveDisplaySets?.() || []).filter(d => d.Modality === 'SR')
      .map(d => (d.measurements || []).map(m => ({loaded: !!m.loaded, id: m.TrackingIdentifier || ''}))),
  };
}"""


class _Handler(http.server.BaseHTTPRequestHandler):
    """The viewer's files, and DICOMweb from the same origin: Debian's Orthanc sends no CORS headers."""

    protocol_version = "HTTP/1.1"

    def __init__(self, root: Path, orthanc_port: int, *arguments: Any) -> None:
        self._root, self._orthanc = root.resolve(), orthanc_port
        super().__init__(*arguments)

    def log_message(self, *arguments: object) -> None:
        """Silence."""

    def do_GET(self) -> None:
        path = unquote(self.path.split("?")[0])
        if path.startswith("/dicom-web"):
            self._proxy()
        elif path == "/app-config.js":
            self._send(200, "text/javascript", CONFIGURATION)
        else:
            self._file((self._root / path.lstrip("/")).resolve())

    def do_POST(self) -> None:
        self._proxy()

    def _file(self, file: Path) -> None:
        if not file.is_relative_to(self._root) or not file.is_file():
            file = self._root / "index.html"  # a page of the application
        kind = {".wasm": "application/wasm", ".js": "text/javascript"}.get(file.suffix)
        self._send(200, kind or mimetypes.guess_type(file.name)[0] or "application/octet-stream", file.read_bytes())

    def _proxy(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        dropped = ("connection", "accept-encoding", "content-length")
        headers = {key: value for key, value in self.headers.items() if key.lower() not in dropped}
        peer = http.client.HTTPConnection("127.0.0.1", self._orthanc, timeout=120)
        peer.request(self.command, self.path, self.rfile.read(length), headers)
        answer = peer.getresponse()
        self._send(answer.status, answer.getheader("Content-Type") or "application/json", answer.read())

    def _send(self, status: int, kind: str, data: bytes) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(data))),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Cross-Origin-Embedder-Policy", "require-corp"),
        ):
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):  # the page was closed meanwhile
            self.wfile.write(data)


@dataclass(frozen=True)
class Viewer:
    """A browser that shows OHIF over one Orthanc."""

    context: BrowserContext
    port: int

    @contextlib.contextmanager
    def study(self, study_uid: str) -> Iterator["Shown"]:
        """OHIF with this study open."""
        page = self.context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(error.message))
        page.goto(f"http://127.0.0.1:{self.port}/viewer?StudyInstanceUIDs={study_uid}", wait_until="domcontentloaded")
        page.locator('[data-cy="study-browser-thumbnail"], [data-cy="study-browser-thumbnail-no-image"]').first.wait_for(
            timeout=WAIT_MS
        )
        page.wait_for_function("() => document.querySelector('canvas')", timeout=WAIT_MS)
        skip = page.get_by_text("Skip all")
        if skip.count():
            skip.first.click()
        try:
            yield Shown(page, errors)
        finally:
            page.close()


@dataclass(frozen=True)
class Shown:
    """A study on the screen; ``errors`` are the exceptions of its page."""

    page: Page
    errors: list[str]

    def load(self, description: str) -> None:
        """Double-click the series with this description, as a reader does."""
        self.page.get_by_text(description, exact=True).first.dblclick(timeout=WAIT_MS)

    def until(self, condition: str) -> Mapping[str, Any]:
        """OHIF's lists, once ``condition`` (JavaScript over ``s``, the lists) is true."""
        self.page.wait_for_function(f"() => {{ const s = ({STATE})(); return {condition}; }}", timeout=WAIT_MS)
        return dict(self.page.evaluate(STATE))

    def text(self) -> str:
        """All words on the page."""
        return self.page.locator("body").inner_text()

    def picture(self) -> npt.NDArray[np.uint8]:
        """The viewport, (rows, columns, 3) of RGB."""
        shot = self.page.locator('[data-cy="viewport-pane"], .viewport-wrapper').first.screenshot(timeout=WAIT_MS)
        return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))

    def picture_until(self, good: Callable[[npt.NDArray[np.uint8]], bool]) -> None:
        """Waits for a viewport of which ``good`` is true: results are drawn some frames after they are listed."""
        peers.wait_for(lambda: good(self.picture()), "the picture", WAIT_MS / 1000)


def coloured(picture: npt.NDArray[np.uint8]) -> int:
    """Pixels that are not gray: nothing but a result is coloured on a gray image."""
    spread = picture.max(axis=2).astype(int) - picture.min(axis=2)
    return int((spread > 40).sum())


def yellow(picture: npt.NDArray[np.uint8]) -> int:
    """Pixels in the colour that OHIF draws outlines and their numbers in."""
    red, green, blue = (picture[..., channel].astype(int) for channel in range(3))
    return int(((red > 160) & (abs(red - green) < 25) & (blue < 110)).sum())


@contextlib.contextmanager
def viewer(orthanc_port: int) -> Iterator[Viewer]:
    """OHIF served on a free port before this Orthanc, in a Chromium with an empty profile."""
    if not (BUILT / "index.html").exists():
        raise AssertionError("OHIF is not unpacked: run `make ohif`")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium, "chromium is not installed: run `make ohif`"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, BUILT, orthanc_port))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=chromium,
            headless=True,
            viewport={"width": 1400, "height": 900},
            args=CHROMIUM_OPTIONS,
        )
        context.route(lambda url: "127.0.0.1" not in url.split("/")[2], lambda route: route.abort())
        yield Viewer(context, server.server_port)
        context.close()
    server.shutdown()
    server.server_close()
