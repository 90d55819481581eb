class LifespanError(Exception): pass
class Lifespan:
    def __init__(self, app, **k): self.state={}
    async def startup(self): pass
    async def shutdown(self): pass
