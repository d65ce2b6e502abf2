"""How a volume's bytes leave the host: one storage daemon per exported volume, which outlives every process of the service.

Bottom to top: :mod:`home` (names on disk), :mod:`record` (the volume's critical section, its fence and
what is remembered), :mod:`qmp` and :mod:`graph` (speaking with a daemon), :mod:`daemon` (its life),
:mod:`nbd` and :mod:`local` (the protocols), :mod:`images` (what drivers may ask), :mod:`manager` (what
verbs call), :mod:`ownership` (protocol rule R6). Nothing here knows resources or the database: rows of
the exports table are written by the verbs' finishes.
"""
