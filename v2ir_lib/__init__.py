"""DiffV2IR, rebuilt step by step: a thin library under a set of numbered notebooks."""

__version__ = "0.1.0"
