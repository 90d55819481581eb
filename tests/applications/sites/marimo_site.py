"""marimo: a notebook as an application; its slider recomputes a cell over a WebSocket."""

import os
from pathlib import Path

PACKAGES = ("marimo",)
INTERFACE = "asgi"
PAGES = ("/",)
RECONNECTS = True

NOTEBOOK = """
import marimo

app = marimo.App()


@app.cell
def _():
    import marimo as mo
    return (mo,)


@app.cell
def _(mo):
    up = mo.ui.button(value=0, on_click=lambda value: value + 1, label="Count")
    up
    return (up,)


@app.cell
def _(mo, up):
    mo.md(f"pressed {up.value} times")
    return
"""


def site():
    import marimo

    file = Path(os.environ["APPLICATION_DATA"]) / "notebook.py"
    file.write_text(NOTEBOOK)
    return marimo.create_asgi_app(include_code=True).with_app(path="", root=str(file)).build()


def use(page):
    page.wait("document.body.innerText.includes('pressed 0 times')")
    button = "document.querySelector('marimo-button').shadowRoot.querySelector('button')"
    page.wait(f"{button} && ({button}.click(), true)")
    page.wait("document.body.innerText.includes('pressed 1 times')")
    return "pressed 1 times"


def use_again(page):
    before = int(page.see("document.body.innerText.match(/pressed (\\d+) times/)[1]"))
    page.see("document.querySelector('marimo-button').shadowRoot.querySelector('button').click()")
    page.wait(f"document.body.innerText.includes('pressed {before + 1} times')", deadline=4)
