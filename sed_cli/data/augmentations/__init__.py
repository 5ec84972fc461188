"""The augmentations, a class in a file each; see :mod:`sed_cli.data.augmentation`."""
