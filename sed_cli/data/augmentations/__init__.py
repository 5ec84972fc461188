"""The augmentations, one class per file; see :mod:`sed_cli.data.augmentation`."""
