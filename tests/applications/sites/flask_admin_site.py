"""Flask-Admin: a table in SQLite, a form that makes a row, an upload."""

import os

PACKAGES = ("flask-admin", "flask-sqlalchemy")
INTERFACE = "wsgi"
PAGES = ("/admin/", "/admin/ship/", "/admin/files/")


def site():
    from flask import Flask
    from flask_admin import Admin
    from flask_admin.contrib.fileadmin import FileAdmin
    from flask_admin.contrib.sqla import ModelView
    from flask_sqlalchemy import SQLAlchemy

    place = os.environ["APPLICATION_DATA"]
    app = Flask(__name__)
    app.config.update(SECRET_KEY="a secret of a test", SQLALCHEMY_DATABASE_URI=f"sqlite:///{place}/ships.db")
    database = SQLAlchemy(app)

    class Ship(database.Model):
        id = database.Column(database.Integer, primary_key=True)
        name = database.Column(database.String(80))

    with app.app_context():
        database.create_all()
    os.makedirs(f"{place}/files", exist_ok=True)
    admin = Admin(app, name="Ships")
    admin.add_view(ModelView(Ship, database.session, endpoint="ship"))
    admin.add_view(FileAdmin(f"{place}/files", name="Files", endpoint="files"))
    return app


def use(page):
    origin = page.see("location.origin")
    page.open(f"{origin}/admin/ship/new/")
    page.type("input[name=name]", "Endurance")
    page.click("input[type=submit], button[type=submit]")
    page.wait("location.pathname == '/admin/ship/'")
    row = page.text("table tbody td.col-name")
    page.open(f"{origin}/admin/files/upload/")
    page.upload("input[type=file]", "300k.bin")
    page.click("input[type=submit], button[type=submit]")
    page.wait("location.pathname == '/admin/files/'")
    size = page.see("fetch('/admin/files/download/300k.bin').then(r => r.blob()).then(b => b.size)")
    return f"{row}, {size} bytes"


def use_plain(web):
    web.post("/admin/ship/new/", {"name": "Endurance"})
    return f"{'Endurance' in web.get('/admin/ship/').text}"
