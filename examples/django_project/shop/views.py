"""The views: sessions in the database, uploads, streams, files, errors."""

# ruff: noqa: ARG001 - Django hands the request to every view

import hashlib
import os
from pathlib import Path

from django.conf import settings
from django.core.files.storage import default_storage
from django.http import FileResponse, Http404, HttpResponse, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe


@require_safe
def index(request):
    return HttpResponse("Hello from Django!\n", content_type="text/plain")


@require_safe
def small_json(request):
    return JsonResponse({"message": "Hello, World!", "path": request.path})


@require_safe
def big_json(request):
    rows = [{"number": number, "square": number * number} for number in range(50_000)]
    return JsonResponse(rows, safe=False)


@require_safe
def form(request):
    return JsonResponse({"token": get_token(request)})


@require_POST
def login(request):
    """Protected against forged requests: it wants the cookie and the token of `/form`."""
    request.session["user"] = request.POST["user"]
    return redirect("/whoami")


@require_safe
def whoami(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JsonResponse({"user": request.session.get("user"), "visits": request.session["visits"]})


@csrf_exempt
@require_POST
def upload(request):
    file = request.FILES["file"]
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    stored = default_storage.save(file.name, file)
    return JsonResponse(
        {
            "name": file.name,
            "stored": stored,
            "size": file.size,
            "sha256": digest.hexdigest(),
            "note": request.POST["note"],
        }
    )


@require_safe
def uploaded(request, name):
    return _file(Path(settings.MEDIA_ROOT), name)


@require_safe
def stream(request):
    lines = int(request.GET.get("lines", "100"))
    return StreamingHttpResponse((f"line {number}\n" for number in range(lines)), content_type="text/plain")


@require_safe
def file(request):
    """FileResponse hands the open file to `wsgi.file_wrapper`, so the kernel sends it."""
    return FileResponse(
        open(os.environ.get("DOWNLOAD", __file__), "rb"), content_type="application/octet-stream"
    )


@require_safe
def static(request, name):
    return _file(Path(settings.STATIC_ROOT), name)


@require_safe
def fails(request):
    raise RuntimeError("this view always fails")


def _file(directory, name):
    path = directory / name
    if path.parent != directory or not path.is_file():
        raise Http404(name)
    return FileResponse(path.open("rb"))
