"""A Django project in one file, on ASGI: views of both kinds, the asynchronous ORM, sessions, forms, streams.

It is its own only Django application, so the models stand below `django.setup()`. The database is in
`DJANGO_DATA_DIR`; `make_tables` is called by the tests before they serve it.
"""

# ruff: noqa: E402, ARG001 - Django wants to be set up first, and hands the request to every view

import asyncio
import contextvars
import gc
import hashlib
import os
import threading
from pathlib import Path

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="only for the tests",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.sessions", __name__],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
    ],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": Path(os.environ["DJANGO_DATA_DIR"]) / "site.sqlite3",
            "OPTIONS": {"timeout": 20},
        }
    },
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    LOGGING={
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "root": {"handlers": ["console"], "level": "ERROR"},
    },
)
django.setup()

from django.core.asgi import get_asgi_application
from django.core.management import call_command
from django.db import connection, models, transaction
from django.http import Http404, HttpResponse, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

STREAMS = []  # the requests whose streams are under way
ENDED = []  # how streams came to their end
USER = contextvars.ContextVar("USER", default="nobody")


class Note(models.Model):
    text = models.TextField()
    tag = models.CharField(max_length=40)

    class Meta:
        app_label = __name__


async def index(request):
    return HttpResponse("hello", content_type="text/plain")


async def where(request):
    """Asynchronous views run on the event loop, in the main thread of the worker."""
    asyncio.get_running_loop()
    return JsonResponse({"main": threading.current_thread() is threading.main_thread()})


def where_sync(request):
    return JsonResponse({"main": threading.current_thread() is threading.main_thread()})


@csrf_exempt
@require_POST
async def add_notes(request):
    tag = request.POST["tag"]
    await Note.objects.abulk_create(Note(text=text, tag=tag) for text in request.POST.getlist("text"))
    return JsonResponse({"count": await Note.objects.filter(tag=tag).acount()}, status=201)


async def notes(request):
    found = Note.objects.filter(tag=request.GET["tag"]).order_by("pk")
    return JsonResponse([note.text async for note in found], safe=False)


async def note(request, number):
    try:
        found = await Note.objects.aget(pk=number)
    except Note.DoesNotExist:
        raise Http404(number) from None
    return JsonResponse({"text": found.text})


@csrf_exempt
@require_POST
@transaction.atomic
def move_notes(request):
    """A transaction belongs to a thread, so views that want one are synchronous."""
    moved = Note.objects.filter(tag=request.POST["from"]).update(tag=request.POST["to"])
    if request.POST.get("fail"):
        raise RuntimeError("this transaction always fails")
    return JsonResponse({"moved": moved})


async def form(request):
    return JsonResponse({"token": get_token(request)})


@require_POST
async def login(request):
    await request.session.aset("user", request.POST["user"])
    return JsonResponse({"ok": True})


async def whoami(request):
    visits = await request.session.aget("visits", 0) + 1
    await request.session.aset("visits", visits)
    return JsonResponse({"user": await request.session.aget("user"), "visits": visits})


@csrf_exempt
@require_POST
async def upload(request):
    file = request.FILES["file"]
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    return JsonResponse({"name": file.name, "size": file.size, "sha256": digest.hexdigest()})


async def stream(request):
    async def lines():
        STREAMS.append(request)
        try:
            for number in range(int(request.GET["lines"])):
                yield f"line {number}\n"
        finally:
            STREAMS.remove(request)

    return StreamingHttpResponse(lines(), content_type="text/plain")


async def streams(request):
    # When send() fails in the moment in which receive() tells of it, Django does not close the response but
    # leaves it, in a cycle, to the garbage collector.
    gc.collect()
    return JsonResponse(len(STREAMS), safe=False)


async def endless(request):
    """Until the client goes; Django cancels it then."""

    async def ticks():
        try:
            yield "tick\n"
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ENDED.append("cancelled")
            raise

    return StreamingHttpResponse(ticks(), content_type="text/plain")


async def ended(request):
    return JsonResponse(ENDED, safe=False)


async def context(request):
    """A variable that a request sets is its own."""
    before = USER.get()
    USER.set(request.GET["user"])
    await asyncio.sleep(0)
    return JsonResponse({"before": before, "after": USER.get()})


async def fails(request):
    raise RuntimeError("this async view always fails")


def fails_sync(request):
    raise RuntimeError("this sync view always fails")


urlpatterns = [
    path("", index),
    path("where", where),
    path("where-sync", where_sync),
    path("notes", notes),
    path("notes/add", add_notes),
    path("notes/move", move_notes),
    path("notes/<int:number>", note),
    path("form", form),
    path("login", login),
    path("whoami", whoami),
    path("upload", upload),
    path("stream", stream),
    path("streams", streams),
    path("endless", endless),
    path("ended", ended),
    path("context", context),
    path("fails", fails),
    path("fails-sync", fails_sync),
]


def make_tables():
    call_command("migrate", verbosity=0)
    with connection.schema_editor() as editor:  # `migrate` looks for models in modules of that name only
        editor.create_model(Note)


application = get_asgi_application()
