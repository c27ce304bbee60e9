"""The database's schema, step by step, by Alembic.

The contract's tables are never altered. What gbench adds (indexes, views) is named `gbench_...`, so that
an original database stays one: its own tool reads and writes it as before.
"""
