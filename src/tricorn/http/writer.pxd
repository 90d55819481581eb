# Nothing in it is for compiled modules; they use response.pxd.
