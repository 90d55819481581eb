accesslog = "/dev/stdout"
errorlog = "/dev/stderr"
capture_output = True
enable_stdio_inheritance = True
