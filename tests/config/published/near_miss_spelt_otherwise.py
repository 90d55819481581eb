workerClass = "gthread"
