-- A POST of 10 KiB. wrk adds Host and Content-Length.
wrk.method = "POST"
wrk.body = string.rep("x", 10 * 1024)
wrk.headers["Content-Type"] = "application/octet-stream"
