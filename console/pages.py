"""The pages of the console: plain HTML from the server, one style sheet, no script, nothing from elsewhere."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from console.attention import attention
from console.board import Board
from console.drawing import Drawing
from console.entry import Entry, RefusedError, Visitor
from console.exposition import MEDIA_TYPE, exposed
from console.operating import KINDS, Kind, Moves, checked
from domain.audit import Event
from domain.errors import AncillaError, ConfigurationError, PermanentError
from domain.moves import JobState, StudyState

ROWS: Final = 100  # of one page of a list
_THREADS: Final = 2
_MOST: Final = 16  # requests for pages at the same time
_FORM: Final = 16 * 1024  # bytes
_FORM_SECONDS: Final = 10.0
_UID: Final = re.compile(r"[0-9.]{1,64}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_POLICY: Final = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Visit:
    """One request: who asks, what stands in the path, behind the question mark, and in the form."""

    visitor: Visitor
    path: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str]


Show = Callable[[Visit], Response]


class Pages:
    """``board`` is what they show, ``moves`` what may be done there, ``entry`` decides who may."""

    def __init__(self, board: Board, moves: Moves, entry: Entry) -> None:
        self._board, self._moves, self._entry, self._drawing = board, moves, entry, Drawing()
        self._pool = ThreadPoolExecutor(_THREADS, "pages")
        self._running = 0

    def routes(self) -> list[Route]:
        """Everything there is; no other path has a page."""
        shown: dict[str, Show] = {
            "/": self._overview,
            "/studies": self._studies,
            "/studies/{study}": self._study,
            "/jobs": self._jobs,
            "/destinations": self._destinations,
            "/models": self._models,
            "/models/{model}": self._model,
            "/audit": self._audit,
            "/callers": self._callers,
            "/do/{move}": self._ask,
            "/metrics": self._metrics,
            "/style.css": self._style,
        }
        routes = [Route(path, self._endpoint(show), methods=["GET"]) for path, show in shown.items()]
        done: dict[str, Show] = {"/audit/verify": self._prove, "/do/{move}": self._do}
        return [*routes, *(Route(path, self._endpoint(show), methods=["POST"]) for path, show in done.items())]

    def close(self) -> None:
        """Give the threads back."""
        self._pool.shutdown(wait=False)

    def _endpoint(self, show: Show) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            response = await self._limited(request, show)
            response.headers.update(HEADERS)
            return response

        return answer

    async def _limited(self, request: Request, show: Show) -> Response:
        if self._running >= _MOST:
            return Response("busy; try again\n", 503, {"Retry-After": "2"}, "text/plain")
        self._running += 1
        try:
            form = await _form(request) if request.method == "POST" else {}
            return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: self._answer(request, show, form))
        except RefusedError as refused:  # of the form: too long, too slow
            return Response(f"{refused.words}\n", refused.status, media_type="text/plain")
        finally:
            self._running -= 1

    def _answer(self, request: Request, show: Show, form: Mapping[str, str]) -> Response:
        """In a thread. What cannot be done is said on a page."""
        visitor = Visitor()
        try:
            visitor = self._entry.visitor(request)
            if request.method == "POST":
                self._entry.check_form(request, visitor, form.get("token", ""))
            return show(Visit(visitor, request.path_params, dict(request.query_params), form))
        except RefusedError as refused:
            return Response(f"{refused.words}\n", refused.status, refused.headers, "text/plain")
        except (PermanentError, ConfigurationError) as error:
            return self._page(Visit(visitor, {}, {}, {}), "message", 409, title="This cannot be done", words=str(error), back="")
        except AncillaError as error:
            return self._page(Visit(visitor, {}, {}, {}), "message", 503, title="Not now", words=str(error), back="")

    def _page(self, visit: Visit, template: str, status: int = 200, **values: Any) -> Response:
        token = self._entry.token(visit.visitor)
        return HTMLResponse(self._drawing.page(template, visitor=visit.visitor, token=token, **values), status)

    def _absent(self, visit: Visit, words: str) -> Response:
        return self._page(visit, "message", 404, title="Not here", words=words, back="")

    def _overview(self, visit: Visit) -> Response:
        seen, destinations, models = self._board.overview(), self._board.destinations(), self._board.models()
        told = attention(seen, destinations, models)
        return self._page(visit, "overview", seen=seen, destinations=destinations, models=models, attention=told)

    def _studies(self, visit: Visit) -> Response:
        wanted = visit.query.get("uid", "").strip()
        if wanted:
            found = self._board.find(wanted) if _UID.fullmatch(wanted) else ""
            if found:
                return RedirectResponse(f"/studies/{found}", 303)
        state = _choice(visit, "state", list(StudyState))
        lines = self._board.studies(ROWS + 1, StudyState(state) if state else None, _place(visit.query.get("before", "")))
        last = lines[ROWS - 1].study if len(lines) > ROWS else None
        on = f"{(last.last_at - _EPOCH) // timedelta(microseconds=1)}-{last.study_uid}" if last else ""
        more = _more(visit, on, ("state",))
        return self._page(visit, "studies", lines=lines[:ROWS], state=state, states=list(StudyState), more=more, sought=wanted)

    def _study(self, visit: Visit) -> Response:
        uid = visit.path["study"]
        seen = self._board.study(uid) if _UID.fullmatch(uid) else None
        if seen is None:
            return self._absent(visit, "There is no such study on this node.")
        rows = self._board.audit(ROWS + 1, None, uid, _number(visit.query.get("before", "")))
        more = _more(visit, str(rows[ROWS - 1].seq) if len(rows) > ROWS else "", ())
        return self._page(visit, "study", seen=seen, rows=rows[:ROWS], more=more)

    def _jobs(self, visit: Visit) -> Response:
        state = _choice(visit, "state", list(JobState))
        jobs = self._board.jobs(ROWS + 1, JobState(state) if state else None, _number(visit.query.get("before", "")))
        more = _more(visit, str(jobs[ROWS - 1].job_id) if len(jobs) > ROWS else "", ("state",))
        return self._page(visit, "jobs", jobs=jobs[:ROWS], state=state, states=list(JobState), more=more)

    def _destinations(self, visit: Visit) -> Response:
        return self._page(visit, "destinations", destinations=self._board.destinations())

    def _models(self, visit: Visit) -> Response:
        return self._page(visit, "models", models=self._board.models())

    def _model(self, visit: Visit) -> Response:
        found = next((one for one in self._board.models() if one.key == visit.path["model"]), None)
        if found is None:
            return self._absent(visit, "No such model is configured on this node.")
        return self._page(visit, "model", model=found)

    def _audit(self, visit: Visit) -> Response:
        event = _choice(visit, "event", list(Event))
        rows = self._board.audit(ROWS + 1, event or None, None, _number(visit.query.get("before", "")))
        more = _more(visit, str(rows[ROWS - 1].seq) if len(rows) > ROWS else "", ("event",))
        proof = self._board.proof()
        return self._page(visit, "audit", rows=rows[:ROWS], event=event, events=list(Event), more=more, proof=proof)

    def _prove(self, _: Visit) -> Response:
        self._board.prove()
        return RedirectResponse("/audit", 303)

    def _callers(self, visit: Visit) -> Response:
        return self._page(visit, "callers", callers=self._board.callers())

    def _ask(self, visit: Visit) -> Response:
        """Whether it is really to be done: nothing is, by this."""
        name, kind = _kind(visit)
        given = checked(kind, visit.query)
        return self._page(visit, "confirm", name=name, given=given, asked=kind.asked(given), shown=kind.shown)

    def _do(self, visit: Visit) -> Response:
        name, kind = _kind(visit)
        given = checked(kind, visit.form)
        said = kind.done(self._moves, given, visit.visitor.actor)
        back = f"/studies/{given['study']}" if "study" in given else "/callers" if "ae" in given else "/jobs"
        return self._page(visit, "message", title=name.capitalize(), words="; ".join(said), back=back)

    def _metrics(self, _: Visit) -> Response:
        return Response(exposed(self._board.metrics()), media_type=MEDIA_TYPE)

    def _style(self, _: Visit) -> Response:
        return Response(self._drawing.style(), media_type="text/css")


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form, the first of each name. Raises RefusedError."""
    body = b""
    try:
        async with asyncio.timeout(_FORM_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > _FORM:
                    raise RefusedError(413, "this form is too long")
    except (TimeoutError, ClientDisconnect):
        raise RefusedError(408, "the form did not come in time") from None
    try:
        return {name: values[0] for name, values in parse_qs(body.decode("ascii"), max_num_fields=50).items()}
    except ValueError:
        raise RefusedError(400, "this is not a form") from None


def _kind(visit: Visit) -> tuple[str, Kind]:
    """Raises RefusedError."""
    name = visit.path["move"]
    if name not in KINDS:
        raise RefusedError(404, "there is no such move")
    if not visit.visitor.may_act:
        raise RefusedError(403, "this needs a login of console.admin_file that may act; `ancilla login NAME` makes one")
    return name, KINDS[name]


def _choice(visit: Visit, name: str, choices: Sequence[str]) -> str:
    """One of the choices, or "". Raises RefusedError."""
    given = visit.query.get(name, "")
    if given and given not in choices:
        raise RefusedError(400, f"{name} is not one of {', '.join(choices)}")
    return given


def _number(words: str) -> int | None:
    """Raises RefusedError."""
    if not words:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", words):
        raise RefusedError(400, "this is no place in the list")
    return int(words)


def _place(words: str) -> tuple[datetime, str] | None:
    """Time and UID of the last study of a page. Raises RefusedError."""
    if not words:
        return None
    micros, _, uid = words.partition("-")
    if not (re.fullmatch(r"[0-9]{1,17}", micros) and _UID.fullmatch(uid)):
        raise RefusedError(400, "this is no place in the list")
    return _EPOCH + timedelta(microseconds=int(micros)), uid


def _more(visit: Visit, before: str, kept: Sequence[str]) -> str:
    """The query of the next page, "" on the last."""
    also = {name: visit.query[name] for name in kept if visit.query.get(name)}
    return urlencode({**also, "before": before}) if before else ""
