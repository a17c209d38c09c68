"""STOW-RS, the Store transaction of DICOMweb (PS3.18 section 10.5): bodies of any size, in constant memory, every limit kept."""

import asyncio
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.message import Message
from typing import Final, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from console.desk import Desk
from console.multipart import MultipartError, Splitter, TooManyPartsError
from console.store_response import document, http_status, warning
from console.unpacking import Unpacking
from domain.errors import AncillaError
from domain.instances import Caller

LOG: Final = logging.getLogger(__name__)
MEDIA_TYPE: Final = "application/dicom+json"
RETRY_AFTER: Final = "60"  # seconds
_ACCEPTABLE: Final = frozenset({MEDIA_TYPE, "application/json", "application/*", "*/*"})
_UID: Final = re.compile(r"(?=.{1,64}$)[0-9]+(\.[0-9]+)*")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds and bytes."""

    requests: int = 8  # at the same time; one more is answered 503
    body: int = 64_000_000_000  # of one request
    parts: int = 100_000
    idle_seconds: float = 60.0  # without a byte
    total_seconds: float = 4 * 3600.0


class HttpError(Exception):
    """A request is refused as a whole."""

    def __init__(self, status: int, words: str, **headers: str) -> None:
        super().__init__(words)
        self.status, self.words, self.headers = status, words, headers

    def response(self) -> Response:
        """As text. What is left of the body is read and forgotten for some seconds (``console.guard``), so that a sender in
        the middle of it gets to see the answer."""
        return PlainTextResponse(self.words + "\n", self.status, self.headers)


class Stow:
    """The endpoint for ``/studies`` and ``/studies/{study}``."""

    def __init__(self, desk: Desk, limits: Limits) -> None:
        self._desk, self._limits = desk, limits
        self._pool = ThreadPoolExecutor(limits.requests, "stow")
        self._running = 0

    async def post(self, request: Request) -> Response:
        """One request, answered."""
        if self._running >= self._limits.requests:
            return _busy().response()
        self._running += 1
        try:
            return await self._answer(request)
        except HttpError as error:
            return error.response()
        except AncillaError as error:
            LOG.warning("STOW-RS request refused: %s", error)
            return _busy().response()
        finally:
            self._running -= 1

    def close(self) -> None:
        """Give the threads back."""
        self._pool.shutdown(wait=False)

    async def _answer(self, request: Request) -> Response:
        caller = await self._admitted(request)
        study_uid = str(request.path_params.get("study", ""))
        splitter = self._checked(request, study_uid)
        transfer = await self._apart(lambda: self._desk.open(caller, study_uid))
        unpacking = Unpacking(splitter, transfer)
        how = "aborted"
        try:
            await self._unpack(request, unpacking, splitter)
            how = "released"
        except ClientDisconnect:
            how = "lost"
            raise HttpError(400, "the connection was lost") from None
        finally:
            await self._apart(lambda: unpacking.end(how))
        return _response(unpacking)

    async def _admitted(self, request: Request) -> Caller:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else ""
        address = request.client.host if request.client else ""
        caller = await self._apart(lambda: self._desk.admit(address, given))
        if caller is None:
            raise HttpError(403, "this node does not know you: ask its administrator for a [[peer]] address or a token")
        return caller

    def _checked(self, request: Request, study_uid: str) -> Splitter:
        """Everything that the header of the request tells. Raises HttpError."""
        if study_uid and not _UID.fullmatch(study_uid):
            raise HttpError(400, "the study in the URL is not a UID")
        accepted = {one.partition(";")[0].strip().lower() for one in request.headers.get("accept", "*/*").split(",")}
        if not accepted & _ACCEPTABLE:
            raise HttpError(406, f"the answer is {MEDIA_TYPE}, and Accept does not allow it")
        if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise HttpError(415, "the body must not have a content encoding")
        length = request.headers.get("content-length", "0")
        if int(length if length.isdecimal() else 0) > self._limits.body:
            raise HttpError(413, f"a request may have {self._limits.body} bytes")
        return self._splitter(request.headers.get("content-type", ""))

    def _splitter(self, content_type: str) -> Splitter:
        message = Message()
        message["content-type"] = content_type
        kind, boundary = message.get_param("type", "application/dicom"), message.get_param("boundary", "")
        if message.get_content_type() != "multipart/related" or str(kind).lower() != "application/dicom":
            raise HttpError(415, 'the body must be multipart/related; type="application/dicom"')
        try:
            return Splitter(str(boundary), self._limits.parts)
        except MultipartError as error:
            raise HttpError(400, str(error)) from None

    async def _unpack(self, request: Request, unpacking: Unpacking, splitter: Splitter) -> None:
        try:
            async for chunk in self._chunks(request):
                await self._apart(lambda chunk=chunk: unpacking.feed(chunk))  # type: ignore[misc]
            splitter.close()
        except TooManyPartsError as error:
            raise HttpError(413, str(error)) from None
        except MultipartError as error:
            raise HttpError(400, str(error)) from None
        if not unpacking.outcomes:
            raise HttpError(400, "the body has no parts")

    async def _chunks(self, request: Request) -> AsyncIterator[bytes]:
        """The body as it comes. Raises HttpError, ClientDisconnect."""
        stream, size, ends = request.stream(), 0, time.monotonic() + self._limits.total_seconds
        while True:
            try:
                async with asyncio.timeout(min(self._limits.idle_seconds, ends - time.monotonic())):
                    chunk = await anext(stream, None)
            except TimeoutError:
                raise HttpError(408, "the body did not come in time") from None
            if chunk is None:
                return
            size += len(chunk)
            if size > self._limits.body:
                raise HttpError(413, f"a request may have {self._limits.body} bytes")
            yield chunk

    async def _apart(self, step: Callable[[], T]) -> T:
        """Run what may wait for the disk in a thread. It is waited for even when the request is cancelled: one at a time."""
        future = asyncio.get_running_loop().run_in_executor(self._pool, step)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise


def _busy() -> HttpError:
    return HttpError(503, "this node cannot take more now; send again later", **{"Retry-After": RETRY_AFTER})


def _response(unpacking: Unpacking) -> Response:
    outcomes = unpacking.outcomes
    status = http_status(outcomes)
    headers = {"Retry-After": RETRY_AFTER} if status == 503 else {}
    if words := warning(outcomes):
        headers["Warning"] = words
    return Response(json.dumps(document(outcomes)), status, headers, MEDIA_TYPE)
