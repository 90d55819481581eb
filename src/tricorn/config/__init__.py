"""The settings: what can be set, where values come from, and the words for it.

    settings.py     every setting, declared once
    declaration.py  what a declaration consists of
    parsers.py      the kinds of values: from text or a file's value to the checked value
    sources.py      `load()`: defaults, environment, file, command line, in that order
    files.py        reading a configuration file
    commandline.py  reading options, and the text of --help
    gunicorn.py     Gunicorn's settings, and an answer to those that Tricorn does not have
    reference.py    docs/settings.md, and the table of --print-config
    moving.py       the table of docs/gunicorn.md
    errors.py       ConfigError

Knows: names, values, files, the environment it is given. Must not know: what any setting is used for.
Nothing in here changes the process: `load()` takes the arguments, the environment and the directory, and
returns a frozen `Settings`.
"""
