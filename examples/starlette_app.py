"""A small Starlette application: `tricorn --chdir examples starlette_app:app`.

It shows what Starlette applications do with their server: sessions, uploads, streams, files, errors.
"""

import hashlib
import os
import secrets

from starlette.applications import Starlette
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    StreamingResponse,
)
from starlette.routing import Route

SESSIONS = {}  # of this process; with several workers keep them where all can see them


def session(request):
    """The visitor's session and its key; a new one for a stranger."""
    key = request.cookies.get("session")
    if key not in SESSIONS:
        key = secrets.token_urlsafe()
    return key, SESSIONS.setdefault(key, {"user": None, "visits": 0})


async def index(_request):
    return PlainTextResponse("Hello from Starlette!\n")


async def small_json(_request):
    return JSONResponse({"message": "Hello, World!"})


async def big_json(_request):
    return JSONResponse([{"number": number, "square": number * number} for number in range(50_000)])


async def login(request):
    key, visitor = session(request)
    async with request.form() as form:
        visitor["user"] = form["user"]
    response = RedirectResponse(request.url_for("whoami"), status_code=303)
    response.set_cookie("session", key, httponly=True)
    return response


async def whoami(request):
    key, visitor = session(request)
    visitor["visits"] += 1
    response = JSONResponse(visitor)
    response.set_cookie("session", key, httponly=True)
    return response


async def upload(request):
    async with request.form() as form:
        file = form["file"]
        digest = hashlib.sha256()
        while piece := await file.read(65536):
            digest.update(piece)
        return JSONResponse(
            {
                "name": file.filename,
                "size": file.size,
                "sha256": digest.hexdigest(),
                "note": form["note"],
            }
        )


async def stream(request):
    async def lines():
        for number in range(int(request.query_params.get("lines", "100"))):
            yield f"line {number}\n"

    return StreamingResponse(lines(), media_type="text/plain")


async def file(_request):
    """Where `asgi_extensions` has `http.response.pathsend`, the server is told the path and sends it."""
    return FileResponse(os.environ.get("DOWNLOAD", __file__), media_type="application/octet-stream")


async def fails(_request):
    raise RuntimeError("this view always fails")


app = Starlette(
    routes=[
        Route("/", index),
        Route("/json", small_json),
        Route("/big-json", big_json),
        Route("/login", login, methods=["POST"]),
        Route("/whoami", whoami),
        Route("/upload", upload, methods=["POST"]),
        Route("/stream", stream),
        Route("/file", file),
        Route("/fails", fails),
    ]
)
