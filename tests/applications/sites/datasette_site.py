"""Datasette: a table with a facet, a query of one's own, the streamed CSV."""

import os
import sqlite3

PACKAGES = ("datasette",)
INTERFACE = "asgi"
PAGES = ("/", "/ships", "/ships/ship?_facet=port")
SHIPS = 5000


def site():
    from datasette.app import Datasette

    file = f"{os.environ['APPLICATION_DATA']}/ships.db"
    with sqlite3.connect(file) as database:
        database.execute("create table if not exists ship (id integer primary key, name text, port text)")
        database.execute("delete from ship")
        rows = ((number, f"Ship {number}", ("Cork", "Kiel")[number % 2]) for number in range(SHIPS))
        database.executemany("insert into ship values (?, ?, ?)", rows)
    return Datasette([file], settings={"max_csv_mb": 10}).app()


def use(page):
    facets = page.text("#facet-port ul")
    page.open(page.see("location.origin") + "/ships?sql=select+count(*)+as+ships+from+ship")
    found = page.text("table.rows-and-columns tbody")
    page.open(page.see("location.origin") + "/ships")
    page.text("h1")
    lines = page.see(
        "fetch('/ships/ship.csv?_stream=on').then(r => r.text()).then(t => t.trim().split('\\n').length)"
    )
    return f"{facets.split()}, {found} ships, {lines} lines"


def use_plain(web):
    found = web.get("/ships.json?sql=select+count(*)+as+ships+from+ship&_shape=array").json()
    lines = web.get("/ships/ship.csv?_stream=on").text.strip().split("\n")
    return f"{found[0]['ships']} ships, {len(lines)} lines"
