"""FastAPI's hello: one route, a dictionary that becomes 27 bytes of JSON."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def hello():
    return {"message": "Hello, World!"}
