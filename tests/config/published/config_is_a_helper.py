config = {"workers": 7}
workers = config["workers"]
