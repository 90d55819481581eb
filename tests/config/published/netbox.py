# The address and port that nginx passes requests to.
bind = "127.0.0.1:8001"

# Number of processors times two, plus one.
workers = 5
threads = 3

timeout = 120

max_requests = 5000
max_requests_jitter = 500
