"""NiceGUI: a counter over Socket.IO, a field that is echoed, an upload."""

PACKAGES = ("nicegui",)
INTERFACE = "asgi"
PAGES = ("/",)
RECONNECTS = True


def site():
    from fastapi import FastAPI
    from nicegui import ui

    app = FastAPI()

    @ui.page("/")
    def home() -> None:
        count = {"value": 0}

        def up() -> None:
            count["value"] += 1
            label.text = str(count["value"])

        async def arrived(event) -> None:
            received.text = f"{event.file.name}: {len(await event.file.read())} bytes"

        label = ui.label("0").classes("count")
        ui.button("Count", on_click=up)
        name = ui.input("Name").classes("name")
        ui.label().classes("hello").bind_text_from(name, "value", lambda value: f"Hello, {value}")
        ui.upload(on_upload=arrived, auto_upload=True)
        received = ui.label("nothing").classes("received")

    ui.run_with(app, storage_secret="a secret of a test")
    return app


def use(page):
    before = int(page.text(".count"))
    page.click("button", "COUNT")
    page.wait(f"document.querySelector('.count').innerText == '{before + 1}'")
    page.type(".name input", "Ada")
    page.wait("document.querySelector('.hello').innerText == 'Hello, Ada'")
    page.upload("input[type=file]", "300k.bin")
    page.wait("document.querySelector('.received').innerText != 'nothing'")
    return f"{page.text('.count')}, {page.text('.hello')}, {page.text('.received')}"


def use_again(page):
    before = int(page.text(".count"))
    page.click("button", "COUNT")
    page.wait(f"document.querySelector('.count').innerText == '{before + 1}'", deadline=2)
