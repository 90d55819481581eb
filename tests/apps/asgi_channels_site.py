"""Channels: the Django site for HTTP, consumers for WebSocket, sessions for both."""

from asgi_django_site import Note
from asgi_django_site import application as django_application
from channels.generic.websocket import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    WebsocketConsumer,
)
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import OriginValidator
from channels.sessions import SessionMiddlewareStack
from django.conf import settings
from django.urls import path

settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


class Echo(AsyncWebsocketConsumer):
    async def connect(self):
        await self.accept("echo" if "echo" in self.scope["subprotocols"] else None)

    async def receive(self, text_data=None, bytes_data=None):
        await self.send(text_data=text_data, bytes_data=bytes_data)


class Room(AsyncJsonWebsocketConsumer):
    """Everybody in the room hears what anybody says, and the database keeps it."""

    async def connect(self):
        self.name = self.scope["url_route"]["kwargs"]["name"]
        self.user = await self.scope["session"].aget("user")
        if self.user is None:
            await self.close(4401)
            return
        await self.channel_layer.group_add(self.name, self.channel_name)
        await self.accept()
        await self.tell({"joined": self.user})

    async def receive_json(self, content):
        await Note.objects.acreate(text=content["say"], tag=self.name)
        await self.tell({"from": self.user, "text": content["say"]})

    async def disconnect(self, code):
        if self.user is not None:
            await self.channel_layer.group_discard(self.name, self.channel_name)
            await self.tell({"left": self.user, "code": code})

    async def tell(self, what):
        await self.channel_layer.group_send(self.name, {"type": "room.news", "what": what})

    async def room_news(self, event):
        await self.send_json(event["what"])


class Counter(WebsocketConsumer):
    """A synchronous consumer: each message is handled in a thread, and it asks the database."""

    def receive(self, text_data=None, **_):
        if text_data == "enough":
            self.close(4000, "as you wish")
        else:
            self.send(text_data=str(Note.objects.filter(tag=text_data).count()))


websockets = [
    path("ws/echo", Echo.as_asgi()),
    path("ws/rooms/<str:name>", Room.as_asgi()),
    path("ws/count", Counter.as_asgi()),
]

application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": OriginValidator(SessionMiddlewareStack(URLRouter(websockets)), ["http://good.example"]),
    }
)
