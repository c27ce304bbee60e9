"""Command line, environment and YAML files become one frozen, fully resolved spec.

In: options, environment variables, `configs/*.yaml`, spec files. Out: `RunSpec` (`spec.py`), and the specs of an
evaluation, a profile and a tuning. No room below reads the environment or the command line for settings.
"""
