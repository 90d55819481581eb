"""Wagtail: the login, a page that is written in the editor and published, an image that is uploaded."""

import os

PACKAGES = ("wagtail",)
INTERFACE = "wsgi"
PAGES = ("/admin/login/",)

#: Django finds the addresses of the site here, once `configure` has run.
urlpatterns = []

TEMPLATE = (
    "<!doctype html><title>{{ page.title }}</title><link rel=icon href='data:,'><h1>{{ page.title }}</h1>"
)


def configure():
    import django
    from django.conf import settings
    from django.urls import include, path

    place = os.environ["APPLICATION_DATA"]
    wagtail = (
        "contrib.forms",
        "contrib.redirects",
        "embeds",
        "sites",
        "users",
        "snippets",
        "documents",
        "images",
    )
    settings.configure(
        SECRET_KEY="a secret of a test",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{place}/site.db"}},
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        INSTALLED_APPS=[
            *(f"wagtail.{name}" for name in (*wagtail, "search", "admin")),
            "wagtail",
            "modelcluster",
            "taggit",
            *(
                f"django.contrib.{name}"
                for name in ("admin", "auth", "contenttypes", "sessions", "messages", "staticfiles")
            ),
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "OPTIONS": {
                    "loaders": [
                        ("django.template.loaders.locmem.Loader", {"wagtailcore/page.html": TEMPLATE}),
                        "django.template.loaders.app_directories.Loader",
                    ],
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ],
                },
            }
        ],
        STATIC_URL="/static/",
        MEDIA_ROOT=f"{place}/media",
        MEDIA_URL="/media/",
        WAGTAIL_SITE_NAME="Ships",
        WAGTAILADMIN_BASE_URL="http://127.0.0.1",
        WAGTAIL_ENABLE_UPDATE_CHECK=False,
    )
    django.setup()

    from django.contrib.staticfiles.urls import urlpatterns as _  # noqa: F401 - it asserts that static files are set up
    from django.contrib.staticfiles.views import serve
    from django.views.static import serve as serve_media
    from wagtail import urls as wagtail_urls
    from wagtail.admin import urls as wagtailadmin_urls
    from wagtail.documents import urls as wagtaildocs_urls

    urlpatterns[:] = [
        path("static/<path:path>", serve, {"insecure": True}),
        path("media/<path:path>", serve_media, {"document_root": f"{place}/media"}),
        path("admin/", include(wagtailadmin_urls)),
        path("documents/", include(wagtaildocs_urls)),
        path("", include(wagtail_urls)),
    ]


def prepare():
    """The database, once; it is copied for each server."""
    configure()
    from django.contrib.auth.models import User
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    User.objects.create_superuser("ada", "ada@example.com", "secret")


def site():
    configure()
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


def use(page):
    origin = page.see("location.origin")
    page.type("input[name=username]", "ada")
    page.type("input[name=password]", "secret")
    page.click("button[type=submit]")
    page.wait("location.pathname == '/admin/'")
    page.rest()
    page.open(f"{origin}/admin/images/add/")
    page.upload("input[type=file]", "picture.png")
    page.type("[name=title]", "picture")
    page.click("button[type=submit]", "Upload")
    page.wait("location.pathname == '/admin/images/'")
    page.rest()
    picture = page.see("document.querySelector('.listing img, #image-results img')?.naturalWidth > 0")
    page.open(f"{origin}/admin/pages/2/edit/")
    page.type("[name=title]", "A page of ours")
    page.click("footer [data-w-dropdown-target=toggle]")
    page.click("button", "Publish")
    page.wait("document.body.innerText.includes('published')")
    page.rest()
    page.open(f"{origin}/")
    return f"{page.text('h1')}, the picture is shown: {picture}"


def use_plain(web):
    import re

    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', web.open("/admin/login/").text)[1]
    form = {"csrfmiddlewaretoken": token, "username": "ada", "password": "secret", "next": "/admin/"}
    welcome = web.post("/admin/login/", form)
    return re.search(r"<title>([^<]*)", web.open("/admin/").text)[1].split()[-1] + f" {welcome.status}"
