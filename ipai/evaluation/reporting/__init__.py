"""The numbers as tables and pages."""
