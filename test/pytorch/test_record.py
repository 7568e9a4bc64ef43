"""Each operator that mskp/_record.py writes down: what is left of a network around it computes what zeros compute, and the same channels may
leave as torch.onnx's exporter says."""
import copy

import pytest
import torch
import zeros
from torch import nn
from torch.nn import functional as F

import mskp
from mskp._network import Network

IMAGE = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
WIDTH = 12


def heads(x):
    """Attention of 3 heads of 4 over the pixels of an image, whose queries, keys and values are the same."""
    b, c, h, w = x.shape
    y = x.flatten(2).transpose(1, 2).reshape(b, h * w, 3, c // 3).permute(0, 2, 1, 3)
    return F.scaled_dot_product_attention(y, y, y).transpose(1, 2).reshape(b, h * w, c).transpose(1, 2).reshape(b, c, h, w)


def shuffle(x, groups=2):
    b, c, h, w = x.shape
    return x.view(b, groups, c // groups, h, w).transpose(1, 2).reshape(b, c, h, w)


def own(*modules):
    return lambda: nn.Sequential(*(m() for m in modules))


def batch(x):
    """Fresh memory, filled part by part and read between, as detectors make one batch of images of many sizes."""
    made = torch.zeros(len(x), WIDTH + 2, 9, 9, dtype=x.dtype)
    for image, place in zip(x, made):
        place[1:-1, :8, :8].copy_(image)
    made[:, 0, 0, 0] = made.sum((1, 2, 3))
    made[:, -1].add_(x[:, 0].mean())
    return made[:, :WIDTH, 1:, 1:] + made[:, 1:-1, :8, :8] + made[:, -1:, :8, :8]


# From 12 channels to 12 channels, of images.
FUNCTIONS = {
    'functions': lambda x: F.hardswish(F.silu(F.relu(x)) + F.gelu(x) * torch.tanh(x)) - F.hardsigmoid(x) + F.relu6(x),
    'more functions': lambda x: F.elu(x) + F.leaky_relu(x, 0.2) + F.softplus(x) + F.mish(x) + x.exp().log() + x.abs().sqrt() + x.square(),
    'numbers': lambda x: (2 * x - 1).clamp(-1, 2).clamp_min(0) / 3 + (1 - x) + torch.maximum(x, -x) + x ** 2,
    'gate': lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(),
    'gate of means': lambda x: x * F.adaptive_avg_pool2d(x, 1) + F.adaptive_avg_pool2d(x, 4).mean(-1, keepdim=True).mean(-2, keepdim=True),
    'pools': lambda x: F.max_pool2d(x, 3, 1, 1) + F.avg_pool2d(x, 3, 1, 1, count_include_pad=False) + F.max_pool2d(x, 2).repeat_interleave(
        2, -1).repeat_interleave(2, -2),
    'resize': lambda x: F.interpolate(F.max_pool2d(x, 2), scale_factor=2) + F.interpolate(
        x[:, :, ::2, ::2], size=(8, 8), mode='bilinear', align_corners=False),
    'pad': lambda x: F.pad(x, (1, 1, 2, 0))[:, :, 1:9, 1:9] + F.pad(x, (1, 1, 1, 1), mode='reflect')[:, :, 2:, 2:],
    'roll': lambda x: x.roll((1, -2), (2, 3)),
    'chunk': lambda x: torch.cat([x.chunk(2, 1)[1], x.chunk(2, 1)[0]], 1),
    'split': lambda x: torch.cat([y * (i + 1) for i, y in enumerate(x.split(4, 1))], 1),
    'flip': lambda x: x + x.flip(-1),
    'batch': batch,
    'choices': lambda x: x.topk(WIDTH, 1)[0] + torch.where(x > 0, x, -x) + x.masked_fill(x > 1, 0) + x.sort(-1)[0] + x[:, x[0].sum((1, 2)).argsort()],
    'stack': lambda x: torch.stack([x, x.relu()]).sum(0) + torch.stack([x, x * 2], 1).unbind(1)[1],
    'shuffle': shuffle,
    'tokens': lambda x: (x.flatten(2).transpose(1, 2).softmax(1)).permute(0, 2, 1).unflatten(2, (8, 8)),
    'heads': heads,
    'matmul': lambda x: (x.flatten(2) @ (x.mean(1).flatten(1)[:, :, None] @ x.mean(1).flatten(1)[:, None])).view_as(x),
    'expand': lambda x: x + x.amax((2, 3), keepdim=True).expand(-1, -1, 8, 8) + x.mean(1, keepdim=True).squeeze(1).unsqueeze(1),
    'einsum': lambda x: torch.einsum('bchw,bhw->bchw', x, x.sum(1)),
    'in place': lambda x: F.relu_(x.clone().mul_(2).add_(1)),
    'types': lambda x: (x.float().contiguous() * 2).to(x.dtype).clone().detach(),
    'fresh': lambda x: x + torch.zeros_like(x[:, :1]) + x.new_ones(1),
    'constants': lambda x: x * torch.arange(8, dtype=x.dtype) + torch.linspace(0, 1, 8, dtype=x.dtype).view(8, 1),
    'norms': own(lambda: nn.GroupNorm(3, WIDTH), lambda: nn.BatchNorm2d(WIDTH)),
    'instances': own(lambda: nn.PReLU(WIDTH), lambda: nn.Dropout2d()),
    'convolutions': own(lambda: nn.Conv2d(WIDTH, 24, 3, 2, 1, groups=2), lambda: nn.ConvTranspose2d(24, WIDTH, 2, 2, groups=4)),
    'depthwise': own(lambda: nn.Conv2d(WIDTH, WIDTH, 3, padding='same', groups=WIDTH), lambda: nn.Conv2d(WIDTH, WIDTH, (3, 1), padding='valid'),
                     lambda: nn.Conv2d(WIDTH, WIDTH, (2, 4), padding='same', dilation=(3, 1))),
    'unequal windows': lambda x: F.interpolate(F.adaptive_avg_pool2d(x, (3, 5)) + F.adaptive_max_pool2d(x, (3, 5)), size=(8, 8)),
    'pixels': own(lambda: nn.Conv2d(WIDTH, 4 * WIDTH, 1), lambda: nn.PixelShuffle(2), lambda: nn.MaxPool2d(2)),
}
# Written in another way than torch.onnx does, so that more, or less, is known of them; or not at all by torch.onnx.
OTHER = {'einsum', 'fresh', 'types', 'norms', 'pad', 'unequal windows', 'batch', 'choices'}
UNKNOWN = {'flip'}  # what is left to torch.onnx


class Around(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.f = function() if not function.__code__.co_argcount else function
        self.a, self.b = nn.Conv2d(3, WIDTH, 3, padding=1), nn.Conv2d(WIDTH, 5, 1)
        self.c, self.d = nn.Conv2d(3, 60, 3), nn.Conv2d(60, 8, 3)

    def forward(self, x):
        return self.b(self.f(self.a(x))), self.d(F.relu(self.c(x)))


@pytest.mark.parametrize('name', FUNCTIONS)
def test_operators(name):
    torch.manual_seed(0)
    model = zeros.randomize(Around(FUNCTIONS[name]).double()).eval()
    before = copy.deepcopy(model)
    pruner = mskp.Pruner(model, IMAGE, units=0.6, constants='drop', check=True)
    assert (pruner.network.exporter == 'record') == (name not in UNKNOWN)
    assert {name for name, _ in model.named_parameters()} <= {p.name for p in pruner.network.parameters}
    if name not in OTHER:
        assert pruner.network.prunable() == mskp.Pruner(copy.deepcopy(before), IMAGE, units=0.6, constants='drop', check=True,
                                                        exporter='trace').network.prunable()
    pruner.cut(now=True)
    reference, wrong = zeros.zeroed(before, model)
    assert wrong is None and zeros.difference(zeros.run(reference, IMAGE), zeros.run(model, IMAGE)) < 1e-9


class Sequence(nn.Module):
    """A transformer block with its own heads, an embedding, a table of positions, and a choice of the first token."""

    def __init__(self, width=24):
        super().__init__()
        self.embed, self.position = nn.Embedding(17, width), nn.Parameter(torch.rand(1, 6, width))
        self.norm, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down, self.head = nn.Linear(width, 4 * width), nn.Linear(4 * width, width), nn.Linear(width, 7)

    def forward(self, tokens):
        x = self.embed(tokens) + self.position
        b, n, c = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(b, n, 3, 4, c // 4).permute(2, 0, 3, 1, 4).unbind(0)
        x = x + self.project(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, c))
        return self.head((x + self.down(F.gelu(self.up(self.norm2(x)))))[:, 0])


def test_transformer():
    torch.manual_seed(0)
    model, tokens = zeros.randomize(Sequence().double()).eval(), torch.randint(0, 17, (2, 6))
    before = copy.deepcopy(model)
    recorded, traced = Network(model, tokens, 'record'), Network(model, tokens, 'trace')
    assert recorded.prunable() == traced.prunable() and recorded.units == traced.units
    found = mskp.prune(model, tokens, units=0.6, constants='drop')
    assert found['removed'] > 30 and model.up.out_features < 96
    reference, wrong = zeros.zeroed(before, model)
    assert wrong is None and zeros.difference(zeros.run(reference, tokens), zeros.run(model, tokens)) < 1e-9
