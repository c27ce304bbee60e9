"""Migrations of the database's schema, by Alembic.

They never alter the contract's tables, so that the original's tool can still read and write the database. Indexes and
views that gbench adds are named `gbench_...`.
"""
