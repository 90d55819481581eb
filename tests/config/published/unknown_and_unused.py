workers = 2
worker_memory_limit = 400
module = "agent.api:app"
