"""Tools for the documentation: its site, its pictures, and the check of its words."""
