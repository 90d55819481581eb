"""Where each view is."""

from django.urls import path
from shop import views

urlpatterns = [
    path("", views.index),
    path("json", views.small_json),
    path("big-json", views.big_json),
    path("form", views.form),
    path("login", views.login),
    path("whoami", views.whoami),
    path("upload", views.upload),
    path("uploads/<str:name>", views.uploaded),
    path("stream", views.stream),
    path("file", views.file),
    path("static/<str:name>", views.static),
    path("fails", views.fails),
]
