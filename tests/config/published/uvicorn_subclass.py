worker_class = "site_workers.HeadlessUvicornWorker"
