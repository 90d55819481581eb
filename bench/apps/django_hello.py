"""Django in one file: one JSON view, behind CommonMiddleware."""

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    DEBUG=False,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for benchmarks",
)
django.setup(set_prefix=False)


def hello(request):
    return JsonResponse({"message": "Hello, World!", "path": request.path})


urlpatterns = [path("", hello)]
app = get_wsgi_application()
