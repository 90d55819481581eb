worker_tmpdir = "/dev/shm"
