"""Migrations of the database's schema, by Alembic.

They never alter the contract's tables, so that the original's tool can still read and write the database. What gbench
adds is named `gbench_...`.
"""
