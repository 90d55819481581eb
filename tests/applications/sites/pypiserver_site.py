"""pypiserver: an upload as twine makes it, the index, the download."""

import base64
import io
import os
import zipfile

PACKAGES = ("pypiserver",)
INTERFACE = "wsgi"
PAGES = ("/", "/simple/", "/packages/")

WHEEL = "ship-1.0-py3-none-any.whl"
BOUNDARY = "--a-boundary-of-a-test"


def site():
    import pypiserver

    return pypiserver.app(roots=[os.environ["APPLICATION_DATA"]], authenticate=[], password_file=".")


def use(page):
    page.open(page.see("location.origin") + "/")
    page.click("a", "simple")
    page.wait("location.pathname == '/simple/'")
    return page.see("document.title")


def use_plain(web):
    wheel = io.BytesIO()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("ship.py", os.urandom(500_000).hex())
        archive.writestr("ship-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: ship\nVersion: 1.0\n")
    fields = {":action": "file_upload", "name": "ship", "version": "1.0", "protocol_version": "1"}
    parts = [
        f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}' for name, value in fields.items()
    ]
    body = "".join(f"--{BOUNDARY}\r\n{part}\r\n" for part in parts).encode()
    body += (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="content"; filename="{WHEEL}"\r\n\r\n'.encode()
    )
    body += wheel.getvalue() + f"\r\n--{BOUNDARY}--\r\n".encode()
    word = base64.b64encode(b"ada:secret").decode()
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    sent = web.post("/", body, Content_Type=kind, Authorization=f"Basic {word}")
    listed = WHEEL in web.get("/simple/ship/").text
    found = web.get(f"/packages/{WHEEL}").body == wheel.getvalue()
    return f"{sent.status}, listed: {listed}, downloaded: {found}"
