import os

workers = int(os.environ["SITE_WORKERS_THAT_NOBODY_SET"])
