"""The models that a configuration can choose, one settings class per file."""
