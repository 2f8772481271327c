"""One update: forward, backward, averaging over processes, optimizer.

On CUDA each half is captured once as a graph (the first per bucket) and
replayed: a 24-layer model launches thousands of small kernels a step, and
launching them one by one takes longer than running them.
"""

from collections.abc import Callable, Sequence

import torch
from accelerate import Accelerator
from torch import nn

from hybrid.training.optim import Optimizer
from hybrid.training.packing import AnyBatch
from hybrid.training.stage_module import StageModule

WARM_UP_RUNS = 2  # compile and let libraries allocate before capturing


class Update:
    """Callable on a batch: changes the weights, returns the losses of StageModule.

    Every process calls it on its own rows; gradients are averaged over them.
    """

    def __init__(
        self,
        module: StageModule,
        named: dict[str, nn.Parameter],
        optimizer: Optimizer,
        accelerator: Accelerator,
    ) -> None:
        self.module, self.optimizer, self.accelerator = module, optimizer, accelerator
        self.params = list(named.values())
        self.captures = accelerator.device.type == "cuda" and module.capturable
        sizes = [p.numel() for p in self.params]
        # One buffer, so that averaging over processes is one call.
        self.flat = torch.zeros(sum(sizes), device=accelerator.device)
        self.views = [v.view_as(p) for v, p in zip(self.flat.split(sizes), self.params, strict=True)]
        for parameter, view in zip(self.params, self.views, strict=True):
            parameter.grad = view
        self._graphs: dict[tuple[torch.Size, ...], _Graphed] = {}
        self._apply: Callable[[], None] | None = None

    def warm_up(self, batches: Sequence[AnyBatch]) -> None:
        """Compile and capture for these batch shapes, changing no weights.

        Lopsided shapes should come first: a graph compiled while source and
        target are equally long is compiled again for the first that are not.
        """
        if self.captures:
            for batch in batches:
                self._replayed(batch, seed=0)

    def __call__(self, batch: AnyBatch, seed: int, step: int, lr_factor: float) -> torch.Tensor:
        # Dropout then depends on the seed alone, so a resumed run repeats it.
        self.optimizer.prepare(step, lr_factor)
        if self.captures:
            losses = self._replayed(batch, seed)
        else:
            torch.manual_seed(seed)
            losses = self._gradients(batch)
        if self.accelerator.num_processes > 1:
            self.flat.copy_(self.accelerator.reduce(self.flat, "mean"))
        if self._apply is None:
            self._apply = self._captured_optimizer()
        self._apply()
        return losses

    def _gradients(self, batch: AnyBatch) -> torch.Tensor:
        with self.accelerator.autocast():
            losses: torch.Tensor = self.module(*batch)
        gradients = torch.autograd.grad(losses[0], self.params, allow_unused=True)
        used = [(v, g) for v, g in zip(self.views, gradients, strict=True) if g is not None]
        torch._foreach_copy_([v for v, _ in used], [g for _, g in used])
        return losses.detach()

    def _replayed(self, batch: AnyBatch, seed: int) -> torch.Tensor:
        shape = tuple(part.shape for part in batch)
        if shape not in self._graphs:
            self._graphs[shape] = _Graphed(self._gradients, batch)
        torch.manual_seed(seed)
        return self._graphs[shape](batch)

    def _captured_optimizer(self) -> Callable[[], None]:
        if self.accelerator.device.type != "cuda":
            return self.optimizer.step
        # Capturing needs a run that has warmed up; its update is taken back.
        graph = torch.cuda.CUDAGraph()
        saved = [p.detach().clone() for p in self.params], self.optimizer.moments(copy=True)
        self.optimizer.step()
        torch.cuda.synchronize()
        with torch.cuda.graph(graph):
            self.optimizer.step()
        torch._foreach_copy_([p.data for p in self.params], saved[0])
        torch._foreach_copy_(self.optimizer.moments(), saved[1])
        return graph.replay


class _Graphed:
    """A captured function of one batch shape."""

    def __init__(self, function: Callable[[AnyBatch], torch.Tensor], example: AnyBatch) -> None:
        self.batch = type(example)(*(part.clone() for part in example))
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_RUNS):
                function(self.batch)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.losses = function(self.batch)

    def __call__(self, batch: AnyBatch) -> torch.Tensor:
        for mine, part in zip(self.batch, batch, strict=True):
            mine.copy_(part)
        self.graph.replay()
        return self.losses
