"""Networks out of scalar neurons: modules, losses, training, files.

>>> from tinygrad_scalar import data, nn, optim
>>> X, y = data.moons(20, noise=0.05)
>>> model = nn.MLP(2, [8, 1], seed=0)
>>> adam = optim.Adam(model.parameters(), lr=0.1)
>>> history = nn.fit(model, X, y, loss=nn.binary_cross_entropy, optimizer=adam, steps=30)
>>> history.loss[-1] < history.loss[0]
True
"""

from tinygrad_scalar.nn.activations import (
    GELU,
    Activation,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
)
from tinygrad_scalar.nn.attention import GPT, Block, CausalSelfAttention
from tinygrad_scalar.nn.callbacks import EarlyStopping, History
from tinygrad_scalar.nn.classes import accuracy, predict
from tinygrad_scalar.nn.embedding import Embedding
from tinygrad_scalar.nn.layers import MLP, Layer, Neuron
from tinygrad_scalar.nn.losses import (
    binary_cross_entropy,
    cross_entropy,
    hinge,
    l1,
    l2,
    mean_squared_error,
)
from tinygrad_scalar.nn.module import Module
from tinygrad_scalar.nn.modules import Affine, Dropout, Scale, Sequential
from tinygrad_scalar.nn.normalization import LayerNorm, RMSNorm
from tinygrad_scalar.nn.parameter import is_parameter, parameter, parameters_below
from tinygrad_scalar.nn.saving import load, save
from tinygrad_scalar.nn.training import fit, mean_loss
from tinygrad_scalar.nn.two_layer_net import TwoLayerNet

__all__ = [
    "GELU",
    "GPT",
    "MLP",
    "Activation",
    "Affine",
    "Block",
    "CausalSelfAttention",
    "Dropout",
    "EarlyStopping",
    "Embedding",
    "History",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Module",
    "Neuron",
    "RMSNorm",
    "ReLU",
    "Scale",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Tanh",
    "TwoLayerNet",
    "accuracy",
    "binary_cross_entropy",
    "cross_entropy",
    "fit",
    "hinge",
    "is_parameter",
    "l1",
    "l2",
    "load",
    "mean_loss",
    "mean_squared_error",
    "parameter",
    "parameters_below",
    "predict",
    "save",
]


def __dir__() -> list[str]:
    return sorted(__all__)
