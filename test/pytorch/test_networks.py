"""Networks of torchvision, its detectors, timm and ultralytics: what is left computes what zeros compute. Each in double precision, on a small image."""
import copy

import networks
import pytest
import zeros

import mskp

NETWORKS = '''torchvision/resnet18 torchvision/resnet50 torchvision/mobilenet_v2 torchvision/mobilenet_v3_large torchvision/mnasnet1_0
torchvision/shufflenet_v2_x1_0 torchvision/squeezenet1_1 torchvision/densenet121 torchvision/googlenet timm/ghostnet_100
timm/vit_tiny_patch16_224 timm/res2net50_26w_4s timm/regnetx_002 timm/efficientnet_lite0 timm/skresnet18 timm/cspdarknet53 ultralytics/yolov8n
torchvision/fasterrcnn_mobilenet_v3_large_320_fpn torchvision/ssdlite320_mobilenet_v3_large torchvision/fcos_resnet50_fpn'''.split()


@pytest.mark.parametrize('name', NETWORKS)
def test_computes_what_zeros_compute(name):
    pytest.importorskip(name.partition('/')[0])
    model, inputs = networks.double(*networks.make(name, size=96))
    zeros.randomize(model)
    before = copy.deepcopy(model)
    found = mskp.prune(model, inputs, macs=0.5, constants='drop')
    assert found['macs'] <= 0.5
    reference, wrong = zeros.zeroed(before, model)
    assert wrong is None
    assert zeros.difference(zeros.run_heads(reference, inputs), zeros.run_heads(model, inputs)) < 1e-9
