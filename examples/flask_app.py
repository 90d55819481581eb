"""A small Flask application: `tricorn --chdir examples flask_app:app`.

It shows what Flask applications do with their server: sessions, uploads, streams, files, errors.
"""

import hashlib
import io
import os
from pathlib import Path

from flask import Flask, jsonify, redirect, request, send_file, session, stream_with_context, url_for

app = Flask(__name__)
app.secret_key = os.environ.get("SECRET_KEY", "only for the example")


@app.get("/")
def index():
    return "Hello from Flask!\n"


@app.get("/json")
def small_json():
    return jsonify(message="Hello, World!")


@app.get("/big-json")
def big_json():
    return jsonify([{"number": number, "square": number * number} for number in range(50_000)])


@app.post("/login")
def login():
    session["user"] = request.form["user"]
    return redirect(url_for("whoami"))


@app.get("/whoami")
def whoami():
    session["visits"] = session.get("visits", 0) + 1
    return jsonify(user=session.get("user"), visits=session["visits"])


@app.post("/upload")
def upload():
    file = request.files["file"]
    content = file.read()
    return jsonify(
        name=file.filename,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        note=request.form["note"],
    )


@app.get("/stream")
def stream():
    def lines():
        for number in range(int(request.args.get("lines", "100"))):
            yield f"line {number}\n"

    return stream_with_context(lines()), {"Content-Type": "text/plain"}


@app.get("/file")
def file():
    """Flask hands the open file to `wsgi.file_wrapper`, so the kernel sends it."""
    return send_file(
        Path(os.environ.get("DOWNLOAD", __file__)).resolve(), mimetype="application/octet-stream"
    )


@app.get("/memory-file")
def memory_file():
    return send_file(io.BytesIO(b"from memory\n" * 1000), mimetype="text/plain")


@app.get("/fails")
def fails():
    raise RuntimeError("this view always fails")
