"""Dash: a callback that counts, and a graph that is drawn."""

PACKAGES = ("dash",)
INTERFACE = "wsgi"
PAGES = ("/",)


def site():
    from dash import Dash, Input, Output, dcc, html

    app = Dash(__name__)
    graph = dcc.Graph(figure={"data": [{"y": [1, 3, 2], "type": "bar"}]}, id="graph")
    app.layout = html.Div([html.Button("Count", id="up"), html.P(id="count"), graph])

    @app.callback(Output("count", "children"), Input("up", "n_clicks"))
    def count(clicks):
        return f"pressed {clicks or 0}"

    return app.server


def use(page):
    page.wait("document.querySelector('#count')?.innerText == 'pressed 0'")
    page.click("#up")
    page.wait("document.querySelector('#count').innerText == 'pressed 1'")
    bars = page.wait("document.querySelectorAll('#graph .bars .point').length")
    return f"{page.text('#count')}, {bars} bars"


def use_plain(web):
    return f"{len(web.get('/_dash-dependencies').json())} callback"
