"""The models that a configuration can choose, a settings class in a file each."""
