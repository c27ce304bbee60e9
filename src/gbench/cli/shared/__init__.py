"""Code shared by several verbs: options, output, tables, live lines, storing records."""
