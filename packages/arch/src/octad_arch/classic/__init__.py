"""Language models from before neural networks, as baselines that a modern model has to beat.

model = ByteNGram.fit(text.encode(), order=5)
model.bits_per_byte(held_out.encode())
"""

from octad_arch.classic.ngram import ByteNGram, byte_entropy

__all__ = ["ByteNGram", "byte_entropy"]
