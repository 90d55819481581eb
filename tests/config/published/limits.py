limit_request_line = 4094
limit_request_fields = 100
limit_request_field_size = 8190
backlog = 2048
keepalive = "2"
timeout = 30.5
sendfile = None
