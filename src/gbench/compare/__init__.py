"""Compare records: what differs, by how much, and whether noise explains it; and pinned baselines.

In: records and run folders. Out: a comparison as text, JSON, Markdown or JUnit.
"""
