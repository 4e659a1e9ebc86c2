"""The contents of reports, and how people see them, a module for each command."""
