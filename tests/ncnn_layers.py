"""What ncnn's layers do, in numpy: networks written for ncnn are run here where ncnn is not. Only what the adapter writes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from porting.adapters.ncnn import _network as networks
from porting.adapters.ncnn.direct.emitter import _ORDERS

Array = np.ndarray[Any, Any]
BINARY = {
    0: np.add, 1: np.subtract, 2: np.multiply, 3: np.divide, 4: np.maximum, 5: np.minimum, 6: np.power,
    7: lambda a, b: b - a, 8: lambda a, b: b / a, 9: lambda a, b: np.power(b, a), 10: np.arctan2,
}  # fmt: skip
UNARY = {
    0: np.abs, 1: np.negative, 2: np.floor, 3: np.ceil, 5: np.sqrt, 7: np.exp, 8: np.log, 9: np.sin, 10: np.cos, 11: np.tan,
    12: np.arcsin, 13: np.arccos, 14: np.arctan, 18: np.rint, 19: np.trunc, 20: np.sign, 21: np.expm1, 22: np.sinh,
    23: np.arcsinh, 24: np.cosh, 25: np.arccosh, 26: np.arctanh, 27: np.log1p,
}  # fmt: skip
REDUCTIONS = {0: np.sum, 3: np.mean, 4: np.max, 5: np.min, 6: np.prod}


class Network:
    """A network of a .param and a .bin file. A batch, where there is one, is the first axis of a value that says so."""

    def __init__(self, layers: Sequence[networks.Layer], weights: bytes) -> None:
        self._layers, self._weights = layers, weights

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Every blob by name. Raises AssertionError where a blob is read twice, or weights are left over."""
        self._place = 0
        blobs: dict[str, Array] = {}
        self._batched: set[str] = set()
        read: set[str] = set()
        for layer in self._layers:
            assert not read.intersection(layer.bottoms), f"{layer.name} reads again what another layer has read"
            read.update(layer.bottoms)
            given = [blobs[name] for name in layer.bottoms]
            for blob in given:
                assert 1 <= blob.ndim - (layer.bottoms[0] in self._batched) <= 4
            settings = read_settings(layer.settings)
            if layer.kind == "Input":
                blobs[layer.tops[0]] = inputs[layer.tops[0]]
            elif layer.kind == "Split":
                blobs.update(dict.fromkeys(layer.tops, given[0]))
                self._batched.update(layer.tops if layer.bottoms[0] in self._batched else ())
            else:
                blobs[layer.tops[0]] = self._answer(layer, given, settings)
        assert self._place == len(self._weights), "weights are left over"
        return blobs

    def _answer(self, layer: networks.Layer, given: list[Array], settings: dict[int, Any]) -> Array:
        batched = any(name in self._batched for name in layer.bottoms)
        if layer.kind == "Reshape":
            if settings.get(13) == 0:
                self._batched.add(layer.tops[0])
            elif batched and settings.get(12) != 0:
                raise AssertionError("a batch is reshaped")
            return given[0].reshape(sizes(settings))
        if batched:
            self._batched.add(layer.tops[0])
            held = self._held(layer.kind, settings)
            return np.stack(
                [
                    getattr(self, f"_{layer.kind.lower()}")([part[n] for part in given], settings, held)
                    for n in range(len(given[0]))
                ]
            )
        answer: Array = getattr(self, f"_{layer.kind.lower()}")(given, settings, self._held(layer.kind, settings))
        return answer.astype(np.float32)

    def _held(self, kind: str, settings: dict[int, Any]) -> list[Array]:
        """The weights of a layer, the first of which has a word in front that says what it is."""
        if kind == "MemoryData":
            return [self._read(math.prod(sizes(settings)))]
        if kind == "Embed":
            return [self._tagged(settings[3])]
        if kind == "Gemm":
            return [self._tagged(settings[8] * settings[9]), *([self._tagged(settings[8])] if settings[10] == 4 else [])]
        if kind == "LayerNorm":
            return [self._read(settings[0]), self._read(settings[0])] if settings[2] else []
        if "onvolution" in kind:
            return [self._tagged(settings[6]), *([self._read(settings[0])] if settings[5] else [])]
        return []

    def _tagged(self, count: int) -> Array:
        assert self._weights[self._place : self._place + 4] == b"\0\0\0\0"
        self._place += 4
        return self._read(count)

    def _read(self, count: int) -> Array:
        self._place += 4 * count
        return np.frombuffer(self._weights[self._place - 4 * count : self._place], np.float32)

    # ---- layers

    def _memorydata(self, _: list[Array], settings: dict[int, Any], held: list[Array]) -> Array:
        return held[0].reshape(sizes(settings))

    def _noop(self, given: list[Array], *_: Any) -> Array:
        return given[0]

    _packing = _power = _noop

    def _permute(self, given: list[Array], settings: dict[int, Any], _: Any) -> Array:
        letters = {1: "W", 2: "HW", 3: "CHW", 4: "CDHW"}[given[0].ndim]
        order = _ORDERS[given[0].ndim][settings[0]]
        return given[0].transpose([letters.index(letter) for letter in reversed(order)])

    def _crop(self, given: list[Array], settings: dict[int, Any], _: Any) -> Array:
        taken = [slice(None)] * given[0].ndim
        for start, end, axis in zip(settings[9], settings[10], settings[11], strict=True):
            taken[axis] = slice(start, end)
        return given[0][tuple(taken)]

    def _concat(self, given: list[Array], settings: dict[int, Any], _: Any) -> Array:
        return np.concatenate(given, settings[0])

    def _tile(self, given: list[Array], settings: dict[int, Any], _: Any) -> Array:
        times = [1] * given[0].ndim
        times[settings[0]] = settings[1]
        return np.tile(given[0], times)

    def _binaryop(self, given: list[Array], settings: dict[int, Any], _: Any) -> Array:
        other = np.float32(settings[2]) if settings.get(1) else given[1]
        assert settings.get(1) or given[0].ndim == given[1].ndim
        with np.errstate(all="ignore"):
            return np.asarray(BINARY[settings[0]](given[0], other))

    def _unaryop(self, given: list[Array], settings: dict[int, Any], _: Any) -> Array:
        return np.asarray(UNARY[settings[0]](given[0]))

    def _clip(self, given: list[Array], settings: dict[int, Any], _: Any) -> Array:
        return np.clip(given[0], settings[0], settings[1])

    def _relu(self, given: list[Array], settings: dict[int, Any], _: Any) -> Array:
        return np.where(given[0] > 0, given[0], given[0] * settings.get(0, 0.0))

    def _sigmoid(self, given: list[Array], *_: Any) -> Array:
        return 1 / (1 + np.exp(-given[0]))

    def _tanh(self, given: list[Array], *_: Any) -> Array:
        return np.tanh(given[0])

    def _erf(self, given: list[Array], *_: Any) -> Array:
        return np.asarray(torch.erf(torch.from_numpy(given[0].copy())))

    def _reduction(self, given: list[Array], settings: dict[int, Any], _: Any) -> Array:
        assert settings[5] == 1
        return np.asarray(REDUCTIONS[settings[0]](given[0], axis=tuple(settings[3]), keepdims=bool(settings[4])))

    def _softmax(self, given: list[Array], settings: dict[int, Any], _: Any) -> Array:
        assert settings[1] == 1
        return np.asarray(torch.softmax(torch.from_numpy(given[0].copy()), settings[0]))

    def _layernorm(self, given: list[Array], settings: dict[int, Any], held: list[Array]) -> Array:
        assert given[0].shape[-1] == settings[0]
        weights = [torch.from_numpy(part.copy()) for part in held]
        return np.asarray(torch.layer_norm(torch.from_numpy(given[0].copy()), [settings[0]], *weights, eps=settings[1]))

    def _cumulativesum(self, given: list[Array], settings: dict[int, Any], _: Any) -> Array:
        return np.cumsum(given[0], settings[0])

    def _matmul(self, given: list[Array], *_: Any) -> Array:
        return np.matmul(*given)

    def _gemm(self, given: list[Array], settings: dict[int, Any], held: list[Array]) -> Array:
        assert [settings[key] for key in (2, 3, 4, 5, 6, 7)] == [0, 1, 0, 1, 1, 0]
        product = given[0] @ held[0].reshape(settings[8], settings[9]).T
        return product + held[1] if len(held) > 1 else product

    def _gelu(self, given: list[Array], settings: dict[int, Any], _: Any) -> Array:
        how = "tanh" if settings[0] else "none"
        return np.asarray(torch.nn.functional.gelu(torch.from_numpy(given[0].copy()), approximate=how))

    def _swish(self, given: list[Array], *_: Any) -> Array:
        return given[0] / (1 + np.exp(-given[0]))

    def _embed(self, given: list[Array], settings: dict[int, Any], held: list[Array]) -> Array:
        assert given[0].dtype == np.int32
        return held[0].reshape(settings[1], settings[0])[given[0]]

    def _convolved(self, given: list[Array], settings: dict[int, Any], held: list[Array], back: bool) -> Array:
        axes = given[0].ndim - 1
        kernel, dilation, stride, before = (list(reversed([settings[key] for key in keys[:axes]])) for keys in CONVOLUTION)
        groups, value = settings.get(7, 1), torch.from_numpy(given[0].copy())[None]
        weight = torch.from_numpy(held[0].copy()).reshape(settings[0], -1, *kernel)
        bias = torch.from_numpy(held[1].copy()) if len(held) > 1 else None
        if not back:
            how = getattr(torch.nn.functional, f"conv{axes}d")
            return np.asarray(how(value, weight, bias, stride, before, dilation, groups)[0])
        weight = torch.cat([part.transpose(0, 1) for part in weight.chunk(groups)])
        more = list(reversed([settings[key] for key in (18, 19, 20)[:axes]]))
        how = getattr(torch.nn.functional, f"conv_transpose{axes}d")
        return np.asarray(how(value, weight, bias, stride, before, more, groups, dilation)[0])

    def _convolution(self, given: list[Array], settings: dict[int, Any], held: list[Array]) -> Array:
        return self._convolved(given, settings, held, back=False)

    def _deconvolution(self, given: list[Array], settings: dict[int, Any], held: list[Array]) -> Array:
        return self._convolved(given, settings, held, back=True)

    _convolutiondepthwise = _convolution3d = _convolution
    _deconvolutiondepthwise = _deconvolution3d = _deconvolution

    def _pooling(self, given: list[Array], settings: dict[int, Any], _: Any) -> Array:
        axes, value = given[0].ndim - 1, torch.from_numpy(given[0].copy())[None]
        kernel, stride, before = (
            list(reversed([settings[key] for key in keys[:axes]])) for keys in (*CONVOLUTION[:2], (3, 13, 23))
        )
        ceil = settings[5] == 0
        if settings[0] == 0:
            how = getattr(torch.nn.functional, f"max_pool{axes}d")
            return np.asarray(how(value, kernel, stride, before, 1, ceil)[0])
        how = getattr(torch.nn.functional, f"avg_pool{axes}d")
        return np.asarray(how(value, kernel, stride, before, ceil, bool(settings[6]))[0])

    _pooling3d = _pooling

    def _gridsample(self, given: list[Array], settings: dict[int, Any], _: Any) -> Array:
        value, grid = (torch.from_numpy(part.copy())[None] for part in given)
        mode = {1: "bilinear", 2: "nearest", 3: "bicubic"}[settings[0]]
        padding = ("zeros", "border", "reflection")[settings[1] - 1]
        return np.asarray(torch.nn.functional.grid_sample(value, grid, mode, padding, bool(settings[2]))[0])


CONVOLUTION = ((1, 11, 21), (2, 12, 22), (3, 13, 23), (4, 14, 24))


def read_settings(text: str) -> dict[int, Any]:
    """The settings of a layer by key, as ncnn reads them: an array's key is below -23300."""
    settings: dict[int, Any] = {}
    for word in text.split():
        key, value = word.split("=")
        if int(key) <= -23300:
            settings[-23300 - int(key)] = [int(part) for part in value.split(",")[1:]]
        elif value.startswith('"'):
            settings[int(key)] = [int(part) for part in reversed(value.strip('"').split(","))]
        else:
            settings[int(key)] = float(value) if set(value) & set(".en") else int(value)
    return settings


def sizes(settings: dict[int, Any]) -> tuple[int, ...]:
    """The axes that a Reshape or a MemoryData names, the outermost first."""
    if 6 in settings:
        return tuple(settings[6])
    return tuple(settings[key] for key in (2, 11, 1, 0) if key in settings)
