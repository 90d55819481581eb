"""For Django: `python manage.py runtricorn`, where "tricorn.contrib.django" stands in INSTALLED_APPS."""
