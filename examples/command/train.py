#!/usr/bin/env python3
"""A training script that knows nothing of nano-hpo: two clouds of points, told apart by logistic regression.

    nano-hpo run --space examples/command/space.toml -n 30 -p 2 -- \\
        examples/command/train.py --lr {lr} --momentum {momentum} --batch {batch}

It takes settings as arguments or, as `schedule`, from the environment. After each epoch it prints a line of
JSON, so that hopeless trials are ended early, and last the loss on held-out points. A trial whose machine was
lost goes on from the epoch that it marked last.
"""

import argparse
import json
import math
import os
import random
from pathlib import Path

EPOCHS = 20
FOLDER = os.environ.get("NANO_HPO_TRIAL_DIR")  # of this trial, the same when it is tried again
SEED = int(os.environ.get("NANO_HPO_SEED", "0"))
SCHEDULE = os.environ.get("NANO_HPO_PARAM_schedule", "constant")  # noqa: SIM112 - its name


def main() -> None:
    options = parsed()
    points = clouds(600)
    training, held_out = points[:400], points[400:]
    first, weights, speed = restored()
    for epoch in range(first, EPOCHS):
        shuffled = random.Random(SEED + epoch).sample(training, len(training))
        slower = (1 + math.cos(math.pi * epoch / EPOCHS)) / 2 if SCHEDULE == "cosine" else 1.0
        for start in range(0, len(shuffled), options.batch):
            slope = gradient(weights, shuffled[start : start + options.batch])
            speed = [
                options.momentum * v - options.lr * slower * g for v, g in zip(speed, slope, strict=True)
            ]
            weights = [w + v for w, v in zip(weights, speed, strict=True)]
        keep(epoch, weights, speed)
        print(json.dumps({"step": epoch, "value": loss(weights, held_out), "checkpoint": epoch}), flush=True)
    print(loss(weights, held_out))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--momentum", type=float, default=0.0)
    parser.add_argument("--batch", type=int, default=32)
    return parser.parse_args()


def clouds(n: int) -> list[tuple[list[float], int]]:
    """Points of the plane, a 1 before them for the bias, and which cloud each is of; always the same."""
    source = random.Random(0)
    kinds = [source.randrange(2) for _ in range(n)]
    return [([1.0, source.gauss(2 * kind, 1), source.gauss(kind, 2)], kind) for kind in kinds]


def probability(weights: list[float], point: list[float]) -> float:
    score = sum(w * x for w, x in zip(weights, point, strict=True))
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, score))))


def gradient(weights: list[float], points: list[tuple[list[float], int]]) -> list[float]:
    errors = [probability(weights, point) - kind for point, kind in points]
    of_axis = zip(*(point for point, _ in points), strict=True)
    return [sum(e * x for e, x in zip(errors, xs, strict=True)) / len(points) for xs in of_axis]


def loss(weights: list[float], points: list[tuple[list[float], int]]) -> float:
    """The mean of -log of the probability that was given to what is true."""
    given = [probability(weights, point) for point, _ in points]
    return -sum(math.log(p if kind else 1 - p) for p, (_, kind) in zip(given, points, strict=True)) / len(
        points
    )


def keep(epoch: int, weights: list[float], speed: list[float]) -> None:
    """Write what is needed to go on: beside the old file, then over it."""
    if FOLDER is not None:
        new = Path(FOLDER) / "new.json"
        new.write_text(json.dumps([epoch + 1, weights, speed]))
        new.replace(Path(FOLDER) / "state.json")


def restored() -> tuple[int, list[float], list[float]]:
    """Where an attempt before has come to; the beginning without one."""
    if FOLDER is not None and "NANO_HPO_CHECKPOINT" in os.environ:
        first, weights, speed = json.loads((Path(FOLDER) / "state.json").read_text())
        return first, weights, speed
    return 0, [0.0] * 3, [0.0] * 3


if __name__ == "__main__":
    main()
