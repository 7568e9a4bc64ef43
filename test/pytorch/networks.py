"""Networks by a name: torchvision's, its detectors, timm's and ultralytics's, with random weights. Nothing is downloaded."""
import torch

TORCHVISION = '''alexnet vgg16_bn resnet18 resnet50 resnext50_32x4d wide_resnet50_2 mobilenet_v2 mobilenet_v3_large mnasnet1_0 densenet121
shufflenet_v2_x1_0 squeezenet1_1 googlenet inception_v3 efficientnet_b0 efficientnet_v2_s regnet_y_400mf convnext_tiny vit_b_16 swin_t
maxvit_t'''.split()
PIXELS = ['fcn_resnet50', 'deeplabv3_resnet50', 'lraspp_mobilenet_v3_large']
DETECTORS = '''fasterrcnn_resnet50_fpn fasterrcnn_mobilenet_v3_large_320_fpn retinanet_resnet50_fpn fcos_resnet50_fpn ssd300_vgg16
ssdlite320_mobilenet_v3_large'''.split()
TIMM = '''resnet26d seresnet50 res2net50_26w_4s ghostnet_100 tf_efficientnetv2_b0 efficientnet_lite0 hrnet_w18_small dla34 repvgg_a0
cspdarknet53 vit_tiny_patch16_224 deit_tiny_patch16_224 mixer_s32_224 skresnet18 resnest14d convnextv2_atto poolformer_s12 levit_128s
mobilevit_xxs xception41 ese_vovnet19b_dw regnetx_002 nf_regnet_b0'''.split()
# Networks whose position tables or windows fix the size of the image.
FIXED = {'patch16', 's32', 'levit', 'vit_b_16', 'swin_t', 'maxvit_t', 'ssd300_vgg16'}
ULTRALYTICS = ['yolov5n', 'yolov8n', 'yolov8n-seg', 'yolov8n-cls', 'yolov9t', 'yolov10n', 'yolo11n', 'yolo12n']


def names():
    return ([f'torchvision/{n}' for n in TORCHVISION] + [f'torchvision/{n}' for n in PIXELS + DETECTORS] + [f'timm/{n}' for n in TIMM]
            + [f'ultralytics/{n}' for n in ULTRALYTICS])


def make(name, seed=0, size=96):
    """(network in evaluation mode, example inputs). size: of the image, where the network takes any."""
    torch.manual_seed(seed)
    kind, _, name = name.partition('/')
    if kind == 'timm':
        import timm
        model = timm.create_model(name, pretrained=False)
        image = torch.rand(1, 3, *[224 if FIXED & set(name.split('_')) or name in FIXED else size] * 2)
    elif kind == 'ultralytics':
        from ultralytics.nn import tasks
        kinds = {'seg': tasks.SegmentationModel, 'cls': tasks.ClassificationModel}
        model = kinds.get(name.rpartition('-')[2], tasks.DetectionModel)(f'{name}.yaml', verbose=False)
        image = torch.rand(1, 3, size, size)
    elif name in DETECTORS:
        import torchvision
        model = torchvision.models.detection.__dict__[name](weights=None, weights_backbone=None)
        if hasattr(model.transform, 'min_size') and 'ssd' not in name:
            model.transform.min_size, model.transform.max_size = (2 * size,), 2 * size
        for part in (model, getattr(model, 'roi_heads', model)):
            if hasattr(part, 'score_thresh'):
                part.score_thresh = 0.0  # with random weights no box would be left to compare
        image = ([torch.rand(3, 2 * size, 2 * size)],)
    elif name in PIXELS:
        import torchvision
        model = torchvision.models.segmentation.__dict__[name](weights=None, weights_backbone=None)
        image = torch.rand(1, 3, size, size)
    else:
        import torchvision
        options = {'init_weights': False} if name in ('googlenet', 'inception_v3') else {}
        model = torchvision.models.__dict__[name](weights=None, **options)
        image = torch.rand(1, 3, *[224 if name in FIXED else size] * 2)
    return model.eval(), image


def double(model, inputs):
    model = model.double()
    if isinstance(inputs, tuple):
        return model, tuple([t.double() for t in part] if isinstance(part, list) else part.double() for part in inputs)
    return model, inputs.double()
