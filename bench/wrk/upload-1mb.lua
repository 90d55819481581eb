-- A POST of 1 MiB. wrk adds Host and Content-Length.
wrk.method = "POST"
wrk.body = string.rep("x", 1024 * 1024)
wrk.headers["Content-Type"] = "application/octet-stream"
