"""The package mskp against PyTorch's own numbers, on small networks. check-pytorch runs it."""
import copy
import os
import socket
import warnings

import pytest
import torch
import zeros
from torch import nn
from torch.nn import functional as F

import mskp
from mskp._tensors import is_here

IMAGE = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(1))


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, padding=1, groups=4, bias=False), nn.BatchNorm2d(width)

    def forward(self, x):
        return F.relu(x + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class Small(nn.Module):
    """A residual network with groups, a depthwise convolution, a chunk, a transposed convolution, and a linear layer behind a flatten."""

    def __init__(self, width=16):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width)
        self.block = Block(width)
        self.depth, self.norm2 = nn.Conv2d(width, 2 * width, 3, padding=1, groups=width), nn.BatchNorm2d(2 * width)
        self.up, self.norm3 = nn.ConvTranspose2d(width, width, 2, stride=2), nn.BatchNorm2d(width)
        self.head = nn.Linear(width * 9, 5)

    def forward(self, x):
        x = self.block(F.relu(self.norm(self.stem(x))))
        a, b = F.relu(self.norm2(self.depth(x))).chunk(2, 1)
        x = F.relu(self.norm3(self.up(F.max_pool2d(a * b, 2))))
        return self.head(torch.flatten(F.adaptive_avg_pool2d(x, 3), 1))


def small(seed=0, dtype=torch.float64):
    torch.manual_seed(seed)
    return zeros.randomize(Small().double(), seed).to(dtype).eval()


def loss_of(model, image=IMAGE):
    return model(image.to(next(model.parameters()).dtype)).square().mean()


def prune(model, image=None, **options):
    return mskp.prune(model, IMAGE.to(next(model.parameters()).dtype) if image is None else image,
                      **{'macs': 0.5, 'constants': 'drop', **options})


def check_zeros(before, after, image, tolerance=1e-9):
    reference, wrong = zeros.zeroed(before, after)
    assert wrong is None
    assert zeros.difference(zeros.run(reference, image), zeros.run(after, image)) < tolerance


def sizes(model):
    return {name: tuple(p.shape) for name, p in model.named_parameters()}


@pytest.mark.parametrize('exporter', ['record', 'trace', 'graph'])
def test_computes_what_zeros_compute(exporter):
    if exporter == 'graph':
        pytest.importorskip('onnxscript')
    model = small()
    before = copy.deepcopy(model)
    found = prune(model, exporter=exporter)
    assert found['macs'] <= 0.5 and sizes(model) != sizes(before)
    check_zeros(before, model, IMAGE.double())


def test_numbers_of_modules():
    model = small()
    prune(model)
    for m in model.modules():
        if isinstance(m, nn.ConvTranspose2d):
            assert m.weight.shape[:2] == (m.in_channels, m.out_channels // m.groups)
        elif isinstance(m, nn.Conv2d):
            assert m.weight.shape[:2] == (m.out_channels, m.in_channels // m.groups) and m.in_channels % m.groups == 0
        elif isinstance(m, nn.BatchNorm2d):
            assert m.num_features == len(m.weight) == len(m.running_mean)
        elif isinstance(m, nn.Linear):
            assert m.weight.shape == (m.out_features, m.in_features)
    copy.deepcopy(model)(IMAGE.double())


OPTIMIZERS = {
    'sgd': lambda p: torch.optim.SGD(p, 0.01, momentum=0.9, nesterov=True),
    'adam': lambda p: torch.optim.Adam(p, 0.01, amsgrad=True),
    'adamw-foreach': lambda p: torch.optim.AdamW(p, 0.01, foreach=True),
    'adamw-fused': lambda p: torch.optim.AdamW(p, 0.01, fused=True),
    'rmsprop': lambda p: torch.optim.RMSprop(p, 0.01, momentum=0.5, centered=True),
}


@pytest.mark.parametrize('kind', OPTIMIZERS)
def test_optimizer_and_average_follow(kind):
    """After the cut, a step is that of an optimizer that was made for the small network with the states' kept elements."""
    model = small().train()
    optimizer = OPTIMIZERS[kind](model.parameters())
    for _ in range(2):
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.5))
    optimizer.step()
    average.update_parameters(model)
    tensors = {'ema.' + k: v.clone() for k, v in model.state_dict().items() if 'num_batches' not in k}
    before, states, objects = copy.deepcopy(model), copy.deepcopy(optimizer.state_dict()['state']), list(model.parameters())
    average_before = copy.deepcopy(average.module)
    kept_loss = loss_of(model)  # holds a graph with the old shapes
    prune(model, optimizer=optimizer, ema=[average, tensors])
    assert all(a is b for a, b in zip(objects, model.parameters()))
    small_average = {**dict(average.module.named_parameters()), **dict(average.module.named_buffers())}
    cut = 0
    for i, (name, whole) in enumerate(before.named_parameters()):
        now = dict(model.named_parameters())[name]
        kept = zeros.places(whole, now)
        assert not isinstance(kept, str), kept
        cut += now.shape != whole.shape
        grid = torch.meshgrid(*kept, indexing='ij')
        for key, value in states[i].items():
            state = optimizer.state[now][key]
            if isinstance(value, torch.Tensor) and value.dim():
                assert torch.equal(state, value[grid]), (name, key)
            else:
                assert torch.equal(torch.as_tensor(state), torch.as_tensor(value))
        assert torch.equal(small_average[name], dict(average_before.named_parameters())[name][grid])
        assert torch.equal(tensors['ema.' + name], now)
    assert cut > 5
    del kept_loss
    optimizer.zero_grad()
    loss_of(model).backward()
    optimizer.step()
    average.update_parameters(model)
    loss_of(average.module)


class Factored(torch.optim.SGD):
    """Keeps the mean of each row of a gradient, as factored moments do."""

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group['params']:
                self.state[p]['rows'] = p.grad.flatten(1).mean(1) if p.dim() > 1 else p.grad.clone()
        return super().step(closure)


def test_optimizer_that_cannot_be_cut_is_refused():
    model = small().train()
    optimizer = Factored(model.parameters(), 0.01)
    loss_of(model).backward()
    optimizer.step()
    before = sizes(model)
    with pytest.raises(mskp.Error, match='Factored keeps'):
        prune(model, optimizer=optimizer)
    assert sizes(model) == before


def foreign():
    return torch.optim.SGD(small().parameters(), 0.01)


@pytest.mark.parametrize('options, words', [
    ({'optimizer': foreign}, 'none of the .* parameters of this SGD'),
    ({'optimizer': lambda: 'sgd'}, 'a str, where an optimizer'),
    ({'steps': -5}, 'steps=-5'), ({'steps': 2.5}, 'steps=2.5'), ({'steps': 'many'}, "steps='many'"),
    ({'macs': 'half'}, "macs='half'"), ({'macs': True}, 'macs=True'), ({'exporter': 'foo'}, "exporter='foo': it is one of 'record', 'trace', 'graph'")])
def test_options_that_mean_nothing_are_refused(options, words):
    model = small()
    before = sizes(model)
    options = {'macs': 0.5, **{k: v() if callable(v) else v for k, v in options.items()}}
    with pytest.raises(mskp.Error, match=words):
        mskp.Pruner(model, IMAGE.double(), **options)
    assert sizes(model) == before


def test_lbfgs_and_models_without_parameters_are_refused():
    model = small()
    with pytest.raises(mskp.Error, match='LBFGS keeps'):
        mskp.Pruner(model, IMAGE.double(), macs=0.5, optimizer=torch.optim.LBFGS(model.parameters()))
    with pytest.raises(mskp.Error, match='ReLU has no parameters'):
        mskp.Pruner(nn.ReLU(), IMAGE.double(), macs=0.5)
    with pytest.raises(mskp.Error, match='a OrderedDict, where a module'):
        mskp.Pruner(model.state_dict(), IMAGE.double(), macs=0.5)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.norm = nn.Embedding(11, 8), nn.LayerNorm(8)
        self.up, self.down, self.up2, self.down2 = nn.Linear(8, 24), nn.Linear(24, 8), nn.Linear(8, 24), nn.Linear(24, 8)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.embed.weight
        self.up2.weight = self.up.weight

    def forward(self, tokens):
        x = self.embed(tokens)
        x = x + self.down(F.gelu(self.up(self.norm(x))))
        return self.head(x + self.down2(F.gelu(self.up2(self.norm(x)))))


def test_tied_weights_stay_tied():
    torch.manual_seed(0)
    model, tokens = zeros.randomize(Tied().double()).eval(), torch.randint(0, 11, (2, 7))
    before = copy.deepcopy(model)
    prune(model, tokens, macs=0.8)
    assert model.head.weight is model.embed.weight and model.up2.weight is model.up.weight
    assert model.up.weight.shape[0] == model.up2.bias.shape[0] == model.down2.weight.shape[1] < 24
    check_zeros(before, model, tokens)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32])
def test_types(dtype):
    """The same channels leave as in double precision, if the numbers are the same."""
    model = small(dtype=dtype)
    exact, image = copy.deepcopy(model).double(), IMAGE.to(dtype)
    prune(model, image)
    prune(exact)
    assert all(torch.equal(a.double(), b) for a, b in zip(model.state_dict().values(), exact.state_dict().values()))
    assert all(p.dtype == dtype for p in model.parameters())


def test_memory_format_frozen_and_gradients():
    model = small().to(memory_format=torch.channels_last).train()
    plain = small().train()
    model.stem.weight.requires_grad_(False)
    model.norm.requires_grad_(False)
    loss_of(model).backward()
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    before = copy.deepcopy(model)
    prune(model)
    prune(plain)
    for (name, a), b, c in zip(model.named_parameters(), plain.parameters(), before.parameters()):
        assert torch.equal(a, b) and a.requires_grad == c.requires_grad, name
        if a.dim() == 4 and a.shape[1] > 1:
            assert a.is_contiguous(memory_format=torch.channels_last), name
        if name in gradients:
            assert torch.equal(a.grad, gradients[name][torch.meshgrid(*zeros.places(c, a), indexing='ij')])
        else:
            assert a.grad is None


class Stubborn(nn.Module):
    """hard: what its forward function has hard-coded."""

    def __init__(self, hard):
        super().__init__()
        self.a, self.b, self.c, self.d = nn.Conv2d(3, 12, 3), nn.Conv2d(12, 12, 3), nn.Conv2d(12, 16, 3), nn.Conv2d(16, 4, 1)
        self.hard = hard

    def forward(self, x):
        y = F.relu(self.b(F.relu(self.a(x))))
        if self.hard == 'view':
            y = y.view(x.shape[0], 12, -1).flatten(1).view(x.shape[0], 12, *y.shape[2:])
        if self.hard == 'slice':
            y = torch.cat([y[:, :5], y[:, 5:] * 2], 1)
        y = self.d(F.relu(self.c(y)))
        if self.hard == 'width' and self.c.weight.shape[0] < 16:
            raise ValueError('sixteen are needed')
        return y


@pytest.mark.parametrize('hard', ['view', 'slice', 'width'])
def test_hard_coded_widths_are_held_and_named(hard):
    torch.manual_seed(0)
    model = Stubborn(hard).double().eval()
    before = copy.deepcopy(model)
    pruner = mskp.Pruner(model, IMAGE.double(), macs=0.7, constants='drop', check=True)
    pruner.cut(now=True)
    assert model.a.out_channels < 12
    if hard == 'width':
        assert model.c.out_channels == 16 and 'sixteen are needed' in ' '.join(pruner.held()) and 'Stubborn.forward' in ' '.join(pruner.held())
    else:
        assert model.b.out_channels == 12 and model.c.out_channels < 16
    check_zeros(before, model, IMAGE.double())


def test_failure_after_the_cut_leaves_everything():
    torch.manual_seed(0)
    model = Stubborn('width').double().train()
    optimizer = torch.optim.Adam(model.parameters())
    loss_of(model).backward()
    optimizer.step()
    before, states = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict())
    with pytest.raises(mskp.Error, match='sixteen are needed.*as it was'):
        mskp.prune(model, IMAGE.double(), macs=0.5, optimizer=optimizer, check=False)
    assert model.training and model.c.out_channels == 16
    assert all(torch.equal(a, b) for a, b in zip(before.values(), model.state_dict().values()))
    for a, b in zip(states['state'].values(), optimizer.state_dict()['state'].values()):
        assert all(torch.equal(a[k], b[k]) for k in a)
    assert all(p.grad is not None for p in model.parameters())
    loss_of(model).backward()
    optimizer.step()


def far(tensor):
    return False


@pytest.mark.parametrize('here', [is_here, far], ids=['here', 'elsewhere'])
@pytest.mark.parametrize('pull', ['proximal', 'gradient', 'deadline'])
def test_marked_channels_go_to_zero_and_the_cut_changes_nothing(pull, here):
    torch.manual_seed(0)
    model = small(dtype=torch.float32).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.02, momentum=0.9)
    pruner = mskp.Pruner(model, IMAGE, macs=0.5, optimizer=optimizer, steps=40, masked=0.5, pull=pull, rounds=2, here=here)
    cuts = 0
    for step in range(40):
        optimizer.zero_grad()
        loss_of(model).backward()
        pruner.before_step()
        optimizer.step()
        pruner.after_step()
        if pruner.due:
            assert pruner.gauges()['left']['largest'] == 0
            wanted = zeros.run(model, IMAGE)
            model.train()
            assert pruner.cut()
            assert zeros.difference(wanted, zeros.run(model, IMAGE)) < 1e-4
            model.train()
            cuts += 1
        else:
            assert pruner.cut() is None
    assert cuts == 2 and pruner.cost()['macs'] <= 0.5


def test_elsewhere_is_the_same_to_the_bit():
    made = []
    for here in (is_here, far):
        torch.manual_seed(0)
        model = small(dtype=torch.float32).train()
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        pruner = mskp.Pruner(model, IMAGE, macs=0.5, optimizer=optimizer, steps=10, masked=0.8, here=here)
        for step in range(10):
            optimizer.zero_grad()
            loss_of(model).backward()
            pruner.before_step()
            optimizer.step()
            pruner.after_step()
            pruner.cut()
        made.append(model.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(*(m.values() for m in made)))


def test_penalty_gradient_is_that_of_pytorch():
    model = small(dtype=torch.float32).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    pruner = mskp.Pruner(model, IMAGE, macs=0.5, optimizer=optimizer, steps=10, masked=1.0, pull='gradient', strength=0.3)
    loss_of(model).backward()
    before = {n: p.grad.clone() for n, p in model.named_parameters()}
    pruner.before_step()
    marked = pruner.marked()
    assert sum(int(m.sum()) for m in marked.values())
    for name, p in model.named_parameters():
        if name in marked and p.dim() == 1:
            wanted = (before[name].double() + 0.3 * p.detach().double().sign() * marked[name]).float()  # rounded once
        else:
            wanted = before[name]
        assert torch.equal(p.grad, wanted), name


def test_state_dict_and_mask(tmp_path):
    model = small()
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    pruner = mskp.Pruner(model, IMAGE.double(), macs=0.4, steps=20, masked=0.6, rounds=2, optimizer=optimizer)
    for _ in range(20):
        optimizer.zero_grad()
        loss_of(model).backward()
        pruner.before_step(), optimizer.step(), pruner.after_step(), pruner.cut()
    pruner.save_mask(tmp_path / 'net.mask')
    torch.save(model.state_dict(), tmp_path / 'net.pt')
    fresh = small(seed=5)
    mskp.load_mask(fresh, IMAGE.double(), tmp_path / 'net.mask')
    fresh.load_state_dict(torch.load(tmp_path / 'net.pt', weights_only=True))
    assert zeros.difference(zeros.run(model, IMAGE.double()), zeros.run(fresh, IMAGE.double())) == 0
    other = Stubborn('').double()
    with pytest.raises(mskp.Error):
        mskp.load_mask(other, IMAGE.double(), tmp_path / 'net.mask')


class Run:
    """A training with all that a checkpoint has to hold. pull: of the pruner; the image of a step follows from its number."""

    def __init__(self, kind, pull, seed):
        self.model = small(seed, torch.float32).train()
        self.model.load_state_dict(small(dtype=torch.float32).state_dict() if seed == 0 else self.model.state_dict())
        self.optimizer = OPTIMIZERS[kind](self.model.parameters())
        self.average = torch.optim.swa_utils.AveragedModel(self.model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.8))
        self.tensors = {k: v.clone() for k, v in self.model.state_dict().items() if 'num_batches' not in k}
        self.pruner = mskp.Pruner(self.model, IMAGE, macs=0.4, optimizer=self.optimizer, ema=[self.average, self.tensors], steps=14,
                                  masked=0.8, rounds=2, pull=pull)
        self.step = 0

    def go(self, until):
        while self.step < until:
            g = torch.Generator().manual_seed(self.step)
            self.optimizer.zero_grad()
            loss_of(self.model, torch.rand(2, 3, 12, 12, generator=g)).backward()
            self.pruner.before_step(), self.optimizer.step(), self.pruner.after_step()
            self.average.update_parameters(self.model)
            for name, tensor in self.model.state_dict().items():
                if name in self.tensors:
                    self.tensors[name] = self.tensors[name].lerp(tensor, 0.5)
            self.pruner.cut()
            self.step += 1

    def state(self):
        return {'model': self.model.state_dict(), 'optimizer': self.optimizer.state_dict(), 'average': self.average.state_dict(),
                'tensors': dict(self.tensors), 'pruner': self.pruner.state_dict(), 'step': self.step}

    def load(self, saved):
        self.pruner.load_state_dict(saved['pruner'])
        self.model.load_state_dict(saved['model'])
        self.optimizer.load_state_dict(saved['optimizer'])
        self.average.load_state_dict(saved['average'])
        self.tensors.update(saved['tensors'])
        self.step = saved['step']


def differences(a, b, where=''):
    """Where two nested states differ in a bit."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return [d for k in a for d in differences(a[k], b[k], f'{where}.{k}')]
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        return [d for i, (x, y) in enumerate(zip(a, b)) for d in differences(x, y, f'{where}.{i}')]
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return [] if a.shape == b.shape and a.dtype == b.dtype and torch.equal(a.detach(), b.detach()) else [where]
    return [] if type(a) is type(b) and a == b else [where]


@pytest.mark.parametrize('kind, pull', [('sgd', 'gradient'), ('adam', 'proximal'), ('rmsprop', 'deadline')])
def test_resumed_runs_are_the_same_bit_for_bit(kind, pull, tmp_path):
    """Interrupted at random steps, before and after each of the two cuts: each time everything is made anew, with other weights."""
    whole = Run(kind, pull, 0)
    whole.go(14)
    assert whole.pruner.gauges()['round'] == 2
    seed = torch.seed() % 10**6
    print('seed', seed)
    random = torch.Generator().manual_seed(seed)
    for trial in range(3):
        stops = sorted(set(torch.randint(0, 15, (3,), generator=random).tolist()))
        run = Run(kind, pull, 0)
        for i, stop in enumerate(stops):
            run.go(stop)
            torch.save(run.state(), tmp_path / 'run.pt')
            run = Run(kind, pull, 7 + i)
            run.load(torch.load(tmp_path / 'run.pt', weights_only=True))
        run.go(14)
        assert differences(whole.state(), run.state()) == [], (seed, stops)
        assert whole.pruner.mask() == run.pruner.mask() and whole.pruner.held() == run.pruner.held()


def test_states_that_do_not_fit_are_refused():
    run = Run('sgd', 'gradient', 0)
    run.go(9)  # one cut
    state, before = run.pruner.state_dict(), sizes(run.model)
    with pytest.raises(mskp.Error, match='was cut already'):
        run.pruner.load_state_dict(state)
    fresh = Run('sgd', 'proximal', 0)
    with pytest.raises(mskp.Error, match="pull was 'gradient', and is 'proximal'"):
        fresh.pruner.load_state_dict(state)
    fresh = Run('sgd', 'gradient', 0)
    whole, locked = sizes(fresh.model), bytes(fresh.pruner.network.locked)
    for wrong, words in ((3, 'a int that'), ({**state, 'version': 9}, '9 is its version'), ({**state, 'locked': state['locked'][1:]}, 'units'),
                         ({**state, 'state': state['state'].replace('cut', 'cat', 1)}, 'cat|hash')):
        with pytest.raises(mskp.Error, match=words):
            fresh.pruner.load_state_dict(wrong)
        assert sizes(fresh.model) == whole and bytes(fresh.pruner.network.locked) == locked
    fresh.pruner.load_state_dict(state)
    assert sizes(fresh.model) == before != whole


def _train(rank, port, folder):
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo', rank=rank, world_size=2)
    for unequal in (0, 3):  # the same number of images on both ranks, or more and larger ones on one
        model = small(dtype=torch.float32).train()
        ddp = nn.parallel.DistributedDataParallel(model)
        optimizer = torch.optim.SGD(model.parameters(), 0.02, momentum=0.9)
        pruner = mskp.Pruner(model, IMAGE, macs=0.5, optimizer=optimizer, steps=12, masked=0.5)
        g = torch.Generator().manual_seed(rank)
        for step in range(12):
            image = torch.rand(2 + rank * unequal, 3, 12, 12, generator=g) * (1 + rank * unequal)
            optimizer.zero_grad()
            ddp(image).square().mean().backward()
            pruner.before_step(), optimizer.step(), pruner.after_step()
            if pruner.cut():
                ddp = nn.parallel.DistributedDataParallel(model)
        torch.save({'mask': pruner.mask(), 'weights': dict(model.named_parameters())}, f'{folder}/{rank}-{unequal}.pt')
    torch.distributed.destroy_process_group()


def test_ranks_have_one_mask(tmp_path):
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    torch.multiprocessing.spawn(_train, (port, str(tmp_path)), nprocs=2)
    for unequal in (0, 3):
        a, b = (torch.load(tmp_path / f'{r}-{unequal}.pt', weights_only=True) for r in range(2))
        assert a['mask'] == b['mask'] and all(torch.equal(a['weights'][n], b['weights'][n]) for n in a['weights'])
        assert sum(w.numel() for w in a['weights'].values()) < sum(p.numel() for p in small().parameters())


def test_mistakes_get_a_sentence():
    model = small()
    for options, words in (({}, 'nothing is asked'), ({'macs': 0}, 'above 0'), ({'macs': 1e-9}, 'the least that can be had'),
                           ({'macs': 0.5, 'score': 'best'}, "'group'"), ({'macs': 0.5, 'hold': ['nothing*']}, 'fits'),
                           ({'macs': 0.5, 'ema': 3}, 'ema')):
        with pytest.raises(mskp.Error, match=words):
            mskp.Pruner(model, IMAGE.double(), **options)
    pruner = mskp.Pruner(model, IMAGE.double(), macs=0.5, steps=5)
    with pytest.raises(mskp.Error, match='learning rate'):
        pruner.before_step()


def test_hold():
    model = small()
    pruner = mskp.Pruner(model, IMAGE.double(), macs=0.8, hold='stem')
    pruner.cut(now=True)
    assert model.stem.out_channels == 16 and sizes(model) != sizes(small())


class Gate(nn.Module):
    """Takes one of two ways, by numbers (kind 'value'), by a parameter ('parameter'), or by a shape ('shape')."""

    def __init__(self, kind):
        super().__init__()
        self.a, self.b, self.c, self.gain = nn.Conv2d(3, 12, 3), nn.Conv2d(12, 12, 1), nn.Conv2d(12, 4, 1), nn.Parameter(torch.ones(()))
        self.kind = kind

    def forward(self, x):
        x = F.relu(self.a(x))
        if self.kind == 'value' and x.sum() > 0:  # the line by numbers
            x = self.b(x)
        if self.kind == 'item' and x.max().item() > 0:  # the line by an item
            x = self.b(x)
        if self.kind == 'parameter' and self.gain > 0:  # the line by a parameter
            x = self.b(x)
        if x.shape[1] < 100 and x.numel() > 3 and bool(torch.arange(3).sum() == 3):
            x = x * 2
        return self.c(x)


@pytest.mark.parametrize('exporter', [None, 'trace'])
@pytest.mark.parametrize('kind, marker', [('value', 'by numbers'), ('item', 'by an item'), ('parameter', 'by a parameter'), ('shape', None)])
def test_decisions_by_numbers_are_named(kind, marker, exporter):
    lines = open(__file__, encoding='utf-8').read().splitlines()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        pruner = mskp.Pruner(Gate(kind).eval(), IMAGE, macs=0.6, constants='drop', exporter=exporter)
    said = [str(w.message) for w in caught if 'decides by numbers' in str(w.message)]
    if marker is None:
        assert not said and pruner.network.exporter == (exporter or 'record')
        return
    line = next(i for i, text in enumerate(lines, 1) if text.endswith(f'# the line {marker}'))
    assert len(said) == 1 and f'line {line} of test_package.py (Gate.forward)' in said[0]
    assert [w.filename for w in caught if str(w.message) == said[0]] == [__file__]


class Shared(nn.Module):
    """Writes to tensors that share memory with others, in ways that are right and in ways that only a program can follow."""

    def __init__(self, kind):
        super().__init__()
        self.a, self.b, self.c, self.d = nn.Conv2d(3, 12, 3), nn.Conv2d(12, 12, 1), nn.Conv2d(12, 24, 1), nn.Conv2d(24, 4, 3)
        self.kind = kind

    def forward(self, x):
        x = self.a(x)
        if self.kind == 'whole':  # the slice is the tensor, which is not read again
            y = x[:, :12]
            y += self.b(x)
        elif self.kind == 'base':  # the base changes
            y = x
            y.flatten(1).mul_(2)
        else:  # a part changes
            y = x
            y[:, 3:6] *= 3
        return self.d(F.relu_(self.c(F.relu_(y))))


@pytest.mark.parametrize('kind', ['whole', 'base', 'part'])
def test_writes_to_shared_memory(kind):
    torch.manual_seed(0)
    model = Shared(kind).double().eval()
    before = copy.deepcopy(model)
    pruner = mskp.Pruner(model, IMAGE.double(), macs=0.7, constants='drop')
    assert (pruner.network.exporter == 'record') == (kind == 'whole')
    pruner.cut(now=True)
    assert model.c.out_channels < 24
    check_zeros(before, model, IMAGE.double())


def test_recording_leaves_nothing_on_tensors():
    """What is pickled as a whole, and deep copies, are as they were."""
    model, image = Tied().eval(), torch.randint(0, 11, (2, 7))
    pruner = mskp.Pruner(model, image, macs=0.9)
    assert pruner.network.exporter == 'record'
    assert not any(vars(t) for t in [*model.parameters(), *model.buffers(), image])


def test_a_mask_of_another_exporter_is_found(tmp_path):
    model, fresh = small(), small(seed=3)
    pruner = mskp.Pruner(model, IMAGE.double(), macs=0.5, constants='drop', exporter='trace')
    pruner.cut(now=True)
    pruner.save_mask(tmp_path / 'net.mask')
    mskp.load_mask(fresh, IMAGE.double(), tmp_path / 'net.mask')
    assert sizes(fresh) == sizes(model)
