limit_request_line = 0
limit_request_fields = 32768
reuse_port = True
sendfile = False
