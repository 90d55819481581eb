"""A small Bottle application: `tricorn --chdir examples bottle_app:app`."""

import hashlib
import json
import os
from pathlib import Path

import bottle

app = bottle.Bottle()
SECRET = os.environ.get("SECRET_KEY", "only for the example")


@app.get("/")
def index():
    return "Hello from Bottle!\n"


@app.get("/json")
def small_json():
    return {"message": "Hello, World!"}


@app.get("/big-json")
def big_json():
    bottle.response.content_type = "application/json"
    return json.dumps([{"number": number, "square": number * number} for number in range(50_000)])


@app.post("/login")
def login():
    bottle.response.set_cookie("user", bottle.request.forms.user, secret=SECRET)
    bottle.response.set_cookie("seen", "yes")
    bottle.redirect("/whoami")


@app.get("/whoami")
def whoami():
    visits = int(bottle.request.get_cookie("visits") or "0") + 1
    bottle.response.set_cookie("visits", str(visits))
    return {"user": bottle.request.get_cookie("user", secret=SECRET), "visits": visits}


@app.post("/upload")
def upload():
    part = bottle.request.files.file
    content = part.file.read()
    return {
        "name": part.raw_filename,
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "note": bottle.request.forms.note,
    }


@app.get("/stream")
def stream():
    bottle.response.content_type = "text/plain"
    for number in range(int(bottle.request.query.lines or "100")):
        yield f"line {number}\n"


@app.get("/file")
def file():
    """Bottle hands the open file to `wsgi.file_wrapper`, so the kernel sends it."""
    path = Path(os.environ.get("DOWNLOAD", __file__)).resolve()
    return bottle.static_file(path.name, root=str(path.parent), mimetype="application/octet-stream")


@app.get("/fails")
def fails():
    raise RuntimeError("this view always fails")
