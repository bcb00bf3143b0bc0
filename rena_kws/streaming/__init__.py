"""From clips to days: long streams of sound, what a network makes of them, and how often it is right and wrong.

clips, noise ─stream_sound─► sound ─host_stream─► scores ─rates─► misses, false accepts an hour ─evaluate─► a report
                                      (the exported C)   (rena_kws.decisions)
"""
