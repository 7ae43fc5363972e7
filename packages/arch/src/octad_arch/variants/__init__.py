"""Blocks that not every model has: each a value that plugs into a place of the core, which knows none of them.

A block says its equation, its source and its shapes, and no class of it is longer than sixty lines of code. Where they
plug in: a `Mixer` or a `FeedForward` of a `Layer`, a `Placement`, a `Stream`, a `ValueMix` of `Attention`, a `Scaling`
of `RoPE`. All are exported by `octad_arch`.
"""
