#!/usr/bin/env python3
"""Networks as PyTorch exports them: networks.py FOLDER [NAME[:training|:folded] ...]

Writes FOLDER/NAME-training.onnx (batch norms as they are, nothing folded in advance) and
FOLDER/NAME-folded.onnx (batch norms folded into the convolutions before them, constants folded).
Weights are random, and the same for the same name. That includes every parameter that PyTorch sets
to zero, to one or to 1e-6 (scales, shifts, layer scales, class tokens, heads), and no two are
alike, because the exporter merges equal ones. Running statistics are those of random images, then
disturbed, so that every channel of every layer does something and nothing overflows or vanishes.

Needs torch and torchvision (Debian: python3-torchvision; written for 1.13 and 0.14, opsets to 17).
"""
import sys
import warnings
import zlib

IMAGES = 4  # for the running statistics

# name: opset, length of the image's sides, is the batch's length left open
NETWORKS = {
    'resnet18': (11, 224, False),
    'resnet50': (13, 224, True),
    'resnext50_32x4d': (14, 224, False),
    'wide_resnet50_2': (16, 224, True),
    'regnet_y_400mf': (17, 224, False),
    'vgg16_bn': (11, 224, True),
    'densenet121': (13, 224, False),
    'mobilenet_v2': (14, 224, True),
    'mobilenet_v3_small': (16, 224, False),
    'mobilenet_v3_large': (11, 224, True),
    'mnasnet1_0': (17, 224, True),
    'shufflenet_v2_x1_0': (13, 224, True),
    'squeezenet1_1': (14, 224, False),
    'googlenet': (16, 224, False),
    'inception_v3': (11, 299, False),
    'efficientnet_b0': (13, 224, True),
    'convnext_tiny': (14, 224, False),
    'swin_t': (16, 224, False),
    'vit_b_16': (17, 224, False),
    'deeplabv3_resnet50': (11, 224, False),
    'fcn_resnet50': (13, 224, False),
    'lraspp_mobilenet_v3_large': (14, 224, True),
    'unet': (16, 128, True),
}
KINDS = 'training', 'folded'


def unet():
    """Three levels, 16 to 64 channels; up by transposed convolutions, joined by concatenation."""
    import torch
    import torch.nn as nn

    def two(a, b):
        return nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(),
                             nn.Conv2d(b, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU())

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.down = nn.ModuleList([two(3, 16), two(16, 32)])
            self.bottom = two(32, 64)
            self.up = nn.ModuleList([nn.ConvTranspose2d(64, 32, 2, 2), nn.ConvTranspose2d(32, 16, 2, 2)])
            self.after = nn.ModuleList([two(64, 32), two(32, 16)])
            self.head = nn.Conv2d(16, 4, 1)

        def forward(self, x):
            kept = []
            for block in self.down:
                kept.append(block(x))
                x = nn.functional.max_pool2d(kept[-1], 2)
            x = self.bottom(x)
            for up, block in zip(self.up, self.after):
                x = block(torch.cat([kept.pop(), up(x)], 1))
            return self.head(x)
    return Net()


def resnet56():
    """As trained for CIFAR-10; parameters named as in its file."""
    import torch.nn as nn
    from torch.nn import functional as F

    class Block(nn.Module):
        def __init__(self, a, b):
            super().__init__()
            self.conv1 = nn.Conv2d(a, b, 3, 2 if a != b else 1, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(b)
            self.conv2 = nn.Conv2d(b, b, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(b)
            self.more = b - a

        def forward(self, x):
            y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
            if self.more:
                x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more // 2, self.more // 2))
            return F.relu(y + x)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(16)
            width = 16
            for name, w in ('layer1', 16), ('layer2', 32), ('layer3', 64):
                setattr(self, name, nn.Sequential(*(Block(width if i == 0 else w, w) for i in range(9))))
                width = w
            self.linear = nn.Linear(64, 10)

        def forward(self, x):
            x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
            return self.linear(F.adaptive_avg_pool2d(x, 1).flatten(1))
    return Net()


def randomize(net, images):
    """Every parameter random, running statistics of these images, disturbed."""
    import torch
    norms = [m for m in net.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    scales = {id(m.weight) for m in net.modules() if 'Norm' in type(m).__name__ and getattr(m, 'weight', None) is not None}
    with torch.no_grad():
        for name, p in net.named_parameters():
            if id(p) in scales:
                p.uniform_(0.5, 1.5)
            elif 'layer_scale' in name:
                p.uniform_(0.1, 0.5)
            elif p.ndim == 1 or 'token' in name or 'pos_embedding' in name or 'position_bias' in name:
                p.normal_(0, 0.2)
            else:
                p.normal_(0, (2 / p[0].numel()) ** 0.5 if p.ndim > 2 else p.shape[1] ** -0.5)
        for m in norms:
            m.reset_running_stats()
            m.momentum = None  # the mean over batches
            m.train()
        net(images)
        for m in norms:
            m.eval()
            m.running_mean += 0.1 * m.running_var.sqrt() * torch.randn_like(m.running_mean)
            m.running_var *= torch.empty_like(m.running_var).uniform_(0.8, 1.25)
            m.running_var += 1e-3 * torch.rand_like(m.running_var)
    return net


def build(name):
    """The network with its random weights, in evaluation mode, and one image."""
    import torch
    import torchvision
    torch.manual_seed(zlib.crc32(name.encode()))
    side = NETWORKS[name][1]
    if name == 'unet':
        net = unet()
    elif hasattr(torchvision.models.segmentation, name):
        class Only(torch.nn.Module):
            """The map, without the dictionary around it."""
            def __init__(self, net):
                super().__init__()
                self.net = net

            def forward(self, x):
                return self.net(x)['out']
        net = Only(getattr(torchvision.models.segmentation, name)(weights=None, weights_backbone=None))
    else:
        more = {'aux_logits': False, 'init_weights': False} if name in ('googlenet', 'inception_v3') else {}
        net = getattr(torchvision.models, name)(weights=None, **more)
    randomize(net.eval(), torch.randn(IMAGES, 3, side, side))
    return net, torch.randn(1, 3, side, side)


def export(net, image, path, kind, opset, dynamic):
    import torch
    training = torch.onnx.TrainingMode.PRESERVE if kind == 'training' else torch.onnx.TrainingMode.EVAL
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(net, image, path, opset_version=opset, do_constant_folding=kind == 'folded', training=training,
                          input_names=['image'], output_names=['result'], dynamo=False,  # the newer exporter has no such kinds
                          dynamic_axes={'image': {0: 'batch'}, 'result': {0: 'batch'}} if dynamic else None)


def main():
    import torch
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    torch.set_num_threads(2)
    for word in sys.argv[2:] or NETWORKS:
        name, _, kind = word.partition(':')
        net, image = build(name)
        for kind in [kind] if kind else KINDS:
            opset, _, dynamic = NETWORKS[name]
            export(net, image, f'{sys.argv[1]}/{name}-{kind}.onnx', kind, opset, dynamic)


if __name__ == '__main__':
    main()
