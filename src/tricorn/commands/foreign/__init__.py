"""What other servers' settings are called, and what Tricorn has for each: one table per server.

Knows: Gunicorn, Uvicorn, Granian, Hypercorn and uWSGI by their names; where their command lines stand. Must
not know: what is printed, how anything is served.
"""
