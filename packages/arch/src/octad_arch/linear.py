"""The linear map that writes to the residual stream."""

from torch import nn


class ResidualOutput(nn.Linear):
    """A linear map whose output is added to the residual stream.

    Its own class, because initialisation scales it by the number of such maps in the model.
    """
