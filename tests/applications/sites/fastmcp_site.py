"""FastMCP: a tool with progress and a resource, over streamable HTTP and over SSE, by its own client."""

PACKAGES = ("fastmcp",)
INTERFACE = "asgi"
PAGES = ()


def site():
    from fastmcp import Context, FastMCP
    from fastmcp.server.http import create_sse_app
    from starlette.applications import Starlette
    from starlette.routing import Mount

    server = FastMCP("harbour")

    @server.tool
    async def count(until: int, context: Context) -> int:
        for number in range(1, until + 1):
            await context.report_progress(number, until)
        return until

    @server.resource("harbour://{name}")
    def harbour(name: str) -> str:
        return f"{name} has deep water"

    streamable = server.http_app(path="/mcp")
    sse = create_sse_app(server, message_path="/messages/", sse_path="/stream")
    routes = [Mount("/sse", sse), Mount("/", streamable)]
    return Starlette(routes=routes, lifespan=streamable.lifespan)


async def client(url):
    from fastmcp import Client

    told = []
    for address in (f"{url}/mcp", f"{url}/sse/stream"):
        steps = []

        async def progress(number, _total, _message, steps=steps):
            steps.append(int(number))

        from fastmcp.client.transports import SSETransport, StreamableHttpTransport

        transport = SSETransport(address) if "/sse/" in address else StreamableHttpTransport(address)
        async with Client(transport, progress_handler=progress) as session:
            tools = [tool.name for tool in await session.list_tools()]
            result = await session.call_tool("count", {"until": 5})
            text = (await session.read_resource("harbour://Cork"))[0].text
        told.append(f"{tools} {result.data} {steps} {text}")
    return "; ".join(told)
