"""Strawberry: a query, a mutation, a subscription over WebSocket, a multipart upload."""

import json

PACKAGES = ("strawberry-graphql", "starlette", "python-multipart")
INTERFACE = "asgi"
PAGES = ("/",)

PAGE = """<!doctype html><title>GraphQL</title><link rel=icon href="data:,">
<button id=start>Start</button><p id=query></p><p id=steps></p><p id=upload></p>
<script>
const show = (id, text) => document.getElementById(id).innerText = text;
const ask = query => fetch('/graphql/', {method: 'POST', headers: {'content-type': 'application/json'},
    body: JSON.stringify({query})}).then(r => r.json());
document.getElementById('start').onclick = async () => {
    await ask('mutation { board(name: "Ada") }');
    show('query', (await ask('{ crew }')).data.crew.join());
    const form = new FormData();
    const query = 'mutation($f: Upload!) { upload(file: $f) }';
    form.append('operations', JSON.stringify({query, variables: {f: null}}));
    form.append('map', '{"0": ["variables.f"]}');
    form.append('0', new Blob([new Uint8Array(300000)]), 'a.bin');
    const sent = await fetch('/graphql/', {method: 'POST', body: form}).then(r => r.json());
    show('upload', sent.data.upload + ' bytes');
    const address = `${location.origin.replace('http', 'ws')}/graphql/`;
    const socket = new WebSocket(address, 'graphql-transport-ws');
    const steps = [], payload = {query: 'subscription { count(until: 5) }'};
    socket.onopen = () => socket.send('{"type": "connection_init"}');
    socket.onmessage = event => {
        const message = JSON.parse(event.data);
        if (message.type == 'connection_ack')
            socket.send(JSON.stringify({id: '1', type: 'subscribe', payload}));
        if (message.type == 'next') steps.push(message.payload.data.count);
        if (message.type == 'complete') { show('steps', steps.join()); socket.close(); }
    };
};
</script>"""


def site():
    from collections.abc import AsyncGenerator

    import strawberry
    from starlette.applications import Starlette
    from starlette.responses import HTMLResponse
    from starlette.routing import Mount, Route
    from strawberry.asgi import GraphQL
    from strawberry.file_uploads import Upload

    aboard = []

    @strawberry.type
    class Query:
        @strawberry.field
        def crew(self) -> list[str]:
            return aboard

    @strawberry.type
    class Mutation:
        @strawberry.mutation
        def board(self, name: str) -> int:
            aboard.append(name)
            return len(aboard)

        @strawberry.mutation
        async def upload(self, file: Upload) -> int:
            return len(await file.read())

    @strawberry.type
    class Subscription:
        @strawberry.subscription
        async def count(self, until: int) -> AsyncGenerator[int, None]:
            for number in range(until):
                yield number

    schema = strawberry.Schema(Query, Mutation, Subscription)
    graphql = GraphQL(schema, multipart_uploads_enabled=True)
    home = Route("/", lambda _request: HTMLResponse(PAGE))
    return Starlette(routes=[home, Mount("/graphql", graphql)])


def use(page):
    page.click("#start")
    return f"{page.text('#query')}, {page.text('#upload')}, {page.text('#steps')}"


def use_plain(web):
    def ask(query):
        body = json.dumps({"query": query}).encode()
        return web.post("/graphql/", body, Content_Type="application/json").json()["data"]

    ask('mutation { board(name: "Ada") }')
    return ",".join(ask("{ crew }")["crew"])
