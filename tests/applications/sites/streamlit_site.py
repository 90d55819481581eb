"""Streamlit: a script that runs again at each press of a button, over a WebSocket, and an upload."""

import os
from pathlib import Path

PACKAGES = ("streamlit",)
INTERFACE = "asgi"
PAGES = ("/",)
RECONNECTS = True

SCRIPT = """
import streamlit as st

st.session_state.setdefault("count", 0)
if st.button("Count"):
    st.session_state.count += 1
st.write(f"pressed {st.session_state.count} times")
file = st.file_uploader("File")
st.write(f"received {len(file.getvalue()) if file else 0} bytes")
"""


def site():
    os.environ["STREAMLIT_BROWSER_GATHER_USAGE_STATS"] = "false"
    from streamlit.starlette import App

    file = Path(os.environ["APPLICATION_DATA"]) / "script.py"
    file.write_text(SCRIPT)
    return App(str(file))


def use(page):
    page.click("button", "Count")
    page.wait("document.body.innerText.includes('pressed 1 times')")
    page.upload("input[type=file]", "300k.bin")
    return page.wait("document.body.innerText.match(/received [1-9]\\d* bytes/)?.[0]")


def use_again(page):
    before = int(page.wait("document.body.innerText.match(/pressed (\\d+) times/)?.[1]"))
    page.click("button", "Count")
    page.wait(f"document.body.innerText.includes('pressed {before + 1} times')", deadline=3)
