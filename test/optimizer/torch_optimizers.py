"""Numbers of torch's optimizers and schedules for `Optimizer.golden.test.ts`.

    python test/optimizer/torch_optimizers.py > test/optimizer/torch.json      (torch 2.13, float32, CPU)

Lion is not in torch; it is written here from the paper's algorithm 2.
"""
import json
import sys

import torch

torch.manual_seed(7)
STEPS, LR = 6, 0.03
SHAPES = {"matrix": [3, 4], "vector": [5]}
start = {k: torch.randn(s) for k, s in SHAPES.items()}
gradients = [{k: torch.randn(s) * (0.3 + i) for k, s in SHAPES.items()} for i in range(STEPS)]


class Lion(torch.optim.Optimizer):
    def __init__(self, params, lr, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                c = m * b1 + p.grad * (1 - b1)
                p.sub_(group["lr"] * (c.sign() + group["weight_decay"] * p))
                m.mul_(b2).add_(p.grad, alpha=1 - b2)


def run(make, clip=None):
    params = {k: v.clone().requires_grad_() for k, v in start.items()}
    optimizer = make(params)
    out = []
    for g in gradients:
        for k, p in params.items():
            p.grad = g[k].clone()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(list(params.values()), clip)
        optimizer.step()
        out.append({k: p.detach().flatten().tolist() for k, p in params.items()})
    return out


def adamw_groups(p):
    return torch.optim.AdamW(
        [{"params": [p["matrix"]], "weight_decay": 0.1}, {"params": [p["vector"]], "weight_decay": 0.0}],
        lr=LR, betas=(0.9, 0.98), eps=1e-8)


values = lambda p: list(p.values())
optim = torch.optim
cases = {
    "adamw": run(adamw_groups),
    "adamw.clipped": run(adamw_groups, clip=1.0),
    "sgd": run(lambda p: optim.SGD(values(p), lr=LR)),
    "sgd.momentum": run(lambda p: optim.SGD(values(p), lr=LR, momentum=0.9)),
    "sgd.nesterov": run(lambda p: optim.SGD(values(p), lr=LR, momentum=0.8, nesterov=True)),
    "adagrad": run(lambda p: optim.Adagrad(values(p), lr=LR, initial_accumulator_value=0.1)),
    "adafactor": run(lambda p: optim.Adafactor(values(p), lr=LR)),
    "adafactor.decay": run(lambda p: optim.Adafactor(values(p), lr=LR, weight_decay=0.1)),
    "lion": run(lambda p: Lion(values(p), lr=LR)),
    "groups": run(lambda p: optim.SGD([{"params": [p["matrix"]], "lr": LR / 10}, {"params": [p["vector"]], "lr": 0.0}], lr=LR)),
}

PEAK, FLOOR, WARMUP, TOTAL = 2e-3, 0.1, 5, 40


def schedule(after):
    optimizer = optim.SGD([torch.zeros(1, requires_grad=True)], lr=PEAK)
    lr = optim.lr_scheduler
    warm = lr.LinearLR(optimizer, start_factor=1 / WARMUP, end_factor=1.0, total_iters=WARMUP - 1)
    both = lr.SequentialLR(optimizer, [warm, after(lr, optimizer)], milestones=[WARMUP])
    rates = []
    for _ in range(TOTAL):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        both.step()
    return rates


schedules = {
    "cosine": schedule(lambda lr, o: lr.CosineAnnealingLR(o, T_max=TOTAL - WARMUP, eta_min=PEAK * FLOOR)),
    "linear": schedule(lambda lr, o: lr.LinearLR(o, start_factor=1.0, end_factor=FLOOR, total_iters=TOTAL - WARMUP)),
    "constant": schedule(lambda lr, o: lr.ConstantLR(o, factor=1.0, total_iters=1)),
}

json.dump({
    "torch": torch.__version__,
    "rate": LR,
    "shapes": SHAPES,
    "start": {k: v.flatten().tolist() for k, v in start.items()},
    "gradients": [{k: v.flatten().tolist() for k, v in g.items()} for g in gradients],
    "cases": cases,
    "schedule": {"peak": PEAK, "floor": FLOOR, "warmupSteps": WARMUP, "total": TOTAL},
    "schedules": schedules,
}, sys.stdout, indent=1)
