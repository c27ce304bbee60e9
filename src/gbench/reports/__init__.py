"""Self-contained HTML pages of a run, a record, a history and an evaluation.

In: run folders, records, databases. Out: one HTML file per page, which loads nothing from the network.
"""
