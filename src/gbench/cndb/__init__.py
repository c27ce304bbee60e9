"""The CNDB record: build it from a run folder, write it to a YAML file, store it in a database, read it back.

In: a run folder, a benchmark log line or a record file. Out: `Record`, its file, its rows. If the database is down, the
record waits in the spool.
"""
