"""Gradio: a function of a text field, a stream of partial results, an upload; all over its queue."""

PACKAGES = ("gradio",)
INTERFACE = "asgi"
PAGES = ("/",)
RECONNECTS = True


def site():
    import os

    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio
    from fastapi import FastAPI

    def letters(name):
        for length in range(1, len(name) + 1):
            yield name[:length]

    with gradio.Blocks() as blocks:
        name = gradio.Textbox(label="Name", elem_id="name")
        hello = gradio.Textbox(label="Hello", elem_id="hello")
        gradio.Button("Greet", elem_id="greet").click(lambda text: f"Hello, {text}", name, hello)
        slow = gradio.Textbox(label="Letters", elem_id="letters")
        gradio.Button("Spell", elem_id="spell").click(letters, name, slow)
        file = gradio.File(elem_id="file")
        size = gradio.Textbox(label="Size", elem_id="size")
        file.upload(lambda path: f"{os.path.getsize(path)} bytes", file, size)
    return gradio.mount_gradio_app(FastAPI(), blocks, path="/")


def use(page):
    page.type("#name textarea, #name input", "Ada")
    page.click("#greet")
    page.wait("document.querySelector('#hello textarea, #hello input').value == 'Hello, Ada'")
    page.click("#spell")
    page.wait("document.querySelector('#letters textarea, #letters input').value == 'Ada'")
    page.upload("#file input[type=file]", "300k.bin")
    size = page.wait("document.querySelector('#size textarea, #size input').value")
    return f"Hello, Ada; {size}"


def use_again(page):
    page.type("#name textarea, #name input", "Grace")
    page.click("#greet")
    page.wait("document.querySelector('#hello textarea, #hello input').value == 'Hello, Grace'", deadline=4)
    page.type("#name textarea, #name input", "Ada")
    page.click("#greet")
    page.wait("document.querySelector('#hello textarea, #hello input').value == 'Hello, Ada'", deadline=4)
