"""The arguments of ``Trainer`` through the years: those of Lightning 1.x and old Nano in; today's out."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl

from orchestrator.nearest import nearest

Arguments = dict[str, Any]


def modern(given: Mapping[str, Any], own: tuple[str, ...]) -> Arguments:
    """The arguments under their names of today; one ``FutureWarning`` names all that were renamed.

    ``TypeError`` says what replaces an argument that is gone, or which name is nearest. ``own`` are those of
    our ``Trainer``, for that hint.
    """
    known = set(inspect.signature(pl.Trainer.__init__).parameters) - {"self"}
    today: Arguments = {name: value for name, value in given.items() if name in known}
    said = []
    for name, value in given.items():
        if name in known:
            continue
        if name in _GONE:
            raise TypeError(f"Trainer takes no argument '{name}' any more; {_GONE[name]}.")
        if name not in _RENAMED:
            near = nearest(name, [*known, *own])
            hint = f"Did you mean {near}?" if near else "See help(pytorch_lightning.Trainer)."
            raise TypeError(f"Trainer takes no argument '{name}'. {hint}")
        words, change = _RENAMED[name]
        change(today, value)
        said.append(f"{name} ({words})")
    if said:
        warnings.warn(
            f"Arguments of an older Lightning or Nano: {'; '.join(said)}.", FutureWarning, stacklevel=4
        )
    return today


# How the old ones become those of today


def _to(name: str) -> Callable[[Arguments, Any], None]:
    def change(today: Arguments, value: Any) -> None:
        if value is not None:
            today.setdefault(name, value)

    return change


def _nothing(today: Arguments, value: Any) -> None:
    """It has no effect."""


def _checkpoint_callback(today: Arguments, value: Any) -> None:
    if isinstance(value, pl.Callback):
        _add_callback(today, value)
    elif value is not None:
        today.setdefault("enable_checkpointing", bool(value))


def _num_processes(today: Arguments, value: Any) -> None:
    if value is not None and value > 1:
        today.setdefault("accelerator", "cpu")
        today.setdefault("devices", value)


def _gpus(today: Arguments, value: Any) -> None:
    if value:
        today.setdefault("accelerator", "gpu")
        today.setdefault("devices", value)


def _progress_bar_refresh_rate(today: Arguments, value: Any) -> None:
    if value == 0:
        today.setdefault("enable_progress_bar", False)
    elif value is not None:
        _add_callback(today, pl.callbacks.TQDMProgressBar(refresh_rate=value))


def _weights_summary(today: Arguments, value: Any) -> None:
    if value is None:
        today.setdefault("enable_model_summary", False)
    elif value == "full":
        _add_callback(today, pl.callbacks.ModelSummary(max_depth=-1))


def _add_callback(today: Arguments, callback: Any) -> None:
    known = today.get("callbacks") or []
    today["callbacks"] = [*(known if isinstance(known, list | tuple) else [known]), callback]


_NO_EFFECT = ("it has no effect", _nothing)

_RENAMED: dict[str, tuple[str, Callable[[Arguments, Any], None]]] = {
    "auto_lr": _NO_EFFECT,
    "checkpoint_callback": (
        "write enable_checkpointing=, or a ModelCheckpoint in callbacks=",
        _checkpoint_callback,
    ),
    "cpu_for_each_process": _NO_EFFECT,
    "distributed_backend": _NO_EFFECT,
    "gpus": ("write accelerator='gpu', devices=", _gpus),
    "num_processes": ("write accelerator='cpu', devices=", _num_processes),
    "process_group_backend": _NO_EFFECT,
    "progress_bar_refresh_rate": (
        "write enable_progress_bar=, or a TQDMProgressBar in callbacks=",
        _progress_bar_refresh_rate,
    ),
    "replace_sampler_ddp": ("write use_distributed_sampler=", _to("use_distributed_sampler")),
    "terminate_on_nan": ("write detect_anomaly=", _to("detect_anomaly")),
    "weights_summary": ("write enable_model_summary=", _weights_summary),
}

_GONE = {
    "amp_backend": "write precision='16-mixed' or 'bf16-mixed'",
    "amp_level": "write precision='16-mixed' or 'bf16-mixed'",
    "auto_lr_find": "call pytorch_lightning.tuner.Tuner(trainer).lr_find(model), or search the learning rate",
    "auto_scale_batch_size": "call pytorch_lightning.tuner.Tuner(trainer).scale_batch_size(model)",
    "auto_select_gpus": "write devices='auto'",
    "flush_logs_every_n_steps": "write logger=CSVLogger(…, flush_logs_every_n_steps=)",
    "ipus": "IPUs are supported by Lightning no longer",
    "log_gpu_memory": "add pytorch_lightning.callbacks.DeviceStatsMonitor() to callbacks",
    "move_metrics_to_cpu": "metrics are moved in your training_step: self.log(name, value.cpu())",
    "multiple_trainloader_mode": "give pytorch_lightning.utilities.CombinedLoader(loaders, mode) to fit",
    "prepare_data_per_node": "set it in your data module: self.prepare_data_per_node = …",
    "process_position": "add pytorch_lightning.callbacks.TQDMProgressBar(process_position=) to callbacks",
    "reload_dataloaders_every_epoch": "write reload_dataloaders_every_n_epochs=1",
    "resume_from_checkpoint": "write trainer.fit(model, ckpt_path=)",
    "stochastic_weight_avg": "add callbacks.StochasticWeightAveraging(swa_lrs=) to callbacks",
    "tpu_cores": "write accelerator='tpu', devices=",
    "track_grad_norm": "log pytorch_lightning.utilities.grad_norm in your on_before_optimizer_step",
    "truncated_bptt_steps": "it is done in a training_step with manual optimisation",
    "weights_save_path": "add pytorch_lightning.callbacks.ModelCheckpoint(dirpath=) to callbacks",
}
