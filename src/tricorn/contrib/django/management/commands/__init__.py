"""Commands for manage.py, one module each."""
