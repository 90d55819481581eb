"""TLS as configuration: from settings and files to the contexts that connections are made with.

    rules.py          how settings go together, and which listeners TLS is for
    files.py          which files there are, and how they are read
    pem.py            what is in a PEM file
    der.py            the encoding of certificates
    certificate.py    what a certificate and a revocation list say
    distinguished.py  distinguished names as text
    material.py       everything that the files hold, checked, or a ConfigError
    context.py        from that and the settings to an ssl.SSLContext; Gunicorn's hook
    kernel.py         whether the kernel can encrypt what is sent
    sni.py            the certificate for a name
    server.py         all of it together: `ServerTLS`, made once before the first fork
    renewal.py        new certificates for a running server
    client.py         what applications may know: mod_ssl's variables, the ASGI extension

Data flows downwards in this list. Nothing here reads or writes a byte of a connection.
"""
