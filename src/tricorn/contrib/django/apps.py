"""The application as Django's registry knows it. It has no models, no templates and no settings.

Knows: its name. Must not know: anything else.
"""

from django.apps import AppConfig


class TricornConfig(AppConfig):
    name = "tricorn.contrib.django"
    label = "tricorn"
    verbose_name = "Tricorn"
