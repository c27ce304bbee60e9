"""A verdict between records: what differs, by how much, whether noise explains it; and pinned baselines.

In: records and run folders. Out: a comparison as text, JSON, Markdown or JUnit.
"""
