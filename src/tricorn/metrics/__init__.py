"""What is counted of a service: which figures there are, where each lies, how they are shown to Prometheus.

Knows: names, places in a block of words, the two text formats. Must not know: who counts, who asks,
processes, sockets.

The figures of a worker lie in its row of the scoreboard, in a block whose layout is figures.pxd's. table.py
says of each place what it is called and what it means; of that everything is made that shows figures
(exposition.py does so to Prometheus, frames.py to people who watch).
"""
