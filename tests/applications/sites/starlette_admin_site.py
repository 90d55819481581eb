"""Starlette-Admin: a login, a table, a form that makes a row in SQLite."""

import os

PACKAGES = ("starlette-admin", "sqlalchemy[asyncio]", "python-multipart", "itsdangerous")
INTERFACE = "asgi"
PAGES = ("/admin/login",)


def site():
    from sqlalchemy import create_engine
    from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.sessions import SessionMiddleware
    from starlette_admin.auth import AdminUser, AuthProvider
    from starlette_admin.contrib.sqla import Admin, ModelView
    from starlette_admin.exceptions import LoginFailed

    class Base(DeclarativeBase):
        pass

    class Ship(Base):
        __tablename__ = "ship"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    class Door(AuthProvider):
        async def login(self, username, password, _remember_me, request):
            if (username, password) != ("ada", "secret"):
                raise LoginFailed("Wrong name or password")
            request.session["user"] = username

        async def authenticate(self, request):
            user = request.session.get("user")
            return AdminUser(username=user) if user else None

        async def logout(self, request):
            request.session.clear()

    engine = create_engine(f"sqlite:///{os.environ['APPLICATION_DATA']}/ships.db")
    Base.metadata.create_all(engine)
    app = Starlette()
    door = Middleware(SessionMiddleware, secret_key="a secret of a test")
    admin = Admin(engine, title="Ships", auth_provider=Door(), middlewares=[door])
    admin.add_view(ModelView(Ship))
    admin.mount_to(app)
    return app


def use(page):
    page.type("input[name=username]", "ada")
    page.type("input[name=password]", "secret")
    page.click("button[type=submit]")
    page.wait("location.pathname == '/admin/'")
    page.rest()
    page.open(page.see("location.origin") + "/admin/ship/create")
    page.type("input[name=name]", "Endurance")
    page.click("button[type=submit], input[type=submit]", "Save")
    page.wait("location.pathname == '/admin/ship/list'")
    page.rest()
    return page.wait("document.querySelector('table tbody')?.innerText.match(/Endurance/)?.[0]")


def use_plain(web):
    web.open("/admin/login")
    web.post("/admin/login", {"username": "ada", "password": "secret"})
    web.open("/admin/ship/list")
    return "logged in" if "Ships" in web.get("/admin/").text else "not logged in"
