"""The augmentations behind :mod:`cenote.data.augment`, by what they change."""
