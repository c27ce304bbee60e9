"""Alarms on simulated losses: required ones, and no false ones."""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gbench.pix2pix.alarm_rules import AlarmRules
from gbench.runfolder.alarms import Alarm
from gbench.settings.model_config import AlarmConfig

STEPS = 50  # an epoch
Curve = Callable[[int], dict[str, float]]  # epoch -> expected losses
D = {"D_real": 0.3, "D_fake": 0.3}
HEALTHY = {"G_GAN": 2.5, "G_L1": 30.0, **D}
# G_L1 of the published run: means of its printed lines over epochs 1-10, 11-20, ... 91-100
PUBLISHED = (38.295, 36.029, 34.158, 32.114, 30.934, 29.942, 28.758, 26.842, 26.291, 26.016)


def published_G_L1(epoch: int) -> float:
    """On straight lines between those means."""
    left = min(max(0, (epoch - 5) // 10), len(PUBLISHED) - 2)
    share = (epoch - 5 - 10 * left) / 10
    return PUBLISHED[left] + share * (PUBLISHED[left + 1] - PUBLISHED[left])


def losses(curve: Curve, epochs: int, seed: int) -> Iterator[tuple[int, int, dict[str, float]]]:
    """Step, epoch and losses of a run; G_L1 differs from image to image (sd 5) and within one (sd 4)."""
    noise = random.Random(seed)
    images = [noise.gauss(0, 5) for _ in range(STEPS)]
    for epoch in range(1, epochs + 1):
        for batch in range(STEPS):
            values = dict(curve(epoch))
            values["G_L1"] += images[batch] + noise.gauss(0, 4)
            yield (epoch - 1) * STEPS + batch + 1, epoch, values


def alarms(curve: Curve, epochs: int, seed: int = 0, planned: int = 200, gan_mode: str = "vanilla") -> list[Alarm]:
    rules = AlarmRules(AlarmConfig(), gan_mode, STEPS, planned)
    return [alarm for step, epoch, values in losses(curve, epochs, seed) for alarm in rules.step(step, epoch, values)]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_is_named_at_its_step_and_once(value: float) -> None:
    rules = AlarmRules(AlarmConfig(), "vanilla", STEPS, 200)
    assert rules.step(1, 1, HEALTHY) == []
    assert rules.finite
    (alarm,) = rules.step(2, 1, {**HEALTHY, "G_GAN": value, "D_fake": math.nan})
    assert str(alarm) == "epoch 1, step 2: G_GAN and D_fake are NaN or infinite"
    assert not rules.finite
    assert all(rules.step(step, 1 + step // STEPS, {**HEALTHY, "G_GAN": value}) == [] for step in range(3, 500))
    assert rules.step(500, 10, HEALTHY) == []
    assert rules.finite


def test_what_was_over_for_long_is_an_alarm_again() -> None:
    rules = AlarmRules(AlarmConfig(), "vanilla", STEPS, 200)
    bad = {**HEALTHY, "G_L1": math.nan}
    assert len(rules.step(1, 1, bad)) == 1
    assert rules.step(STEPS + 1, 2, bad) == []
    assert [alarm.epoch for alarm in rules.step(3 * STEPS + 1, 4, bad)] == [4]


def test_a_collapse_is_an_alarm_after_a_whole_window_of_epochs() -> None:
    def collapses(epoch: int) -> dict[str, float]:
        return {
            "G_GAN": 9.0,
            "G_L1": published_G_L1(epoch),
            **({"D_real": 0.002, "D_fake": 0.004} if epoch >= 40 else D),
        }

    (alarm,) = alarms(collapses, 60)
    assert (alarm.kind, alarm.epoch, alarm.step) == ("collapse", 44, 44 * STEPS)
    assert alarm.text == "D has collapsed: D_real is 0.002 and D_fake 0.004, means of epochs 40 to 44"
    assert alarms(collapses, 60, gan_mode="wgangp") == []


def test_one_loss_near_0_or_a_short_spell_is_no_collapse() -> None:
    def one_sided(epoch: int) -> dict[str, float]:
        return {**HEALTHY, "G_L1": published_G_L1(epoch), "D_real": 0.001}

    def short(epoch: int) -> dict[str, float]:
        low = {"D_real": 0.001, "D_fake": 0.001} if epoch % 6 < 4 else {}
        return {**HEALTHY, "G_L1": published_G_L1(epoch), **low}

    assert alarms(one_sided, 60) == []
    assert alarms(short, 60) == []


@pytest.mark.parametrize("seed", range(5))
def test_a_generator_that_does_not_learn_is_an_alarm_early_on(seed: int) -> None:
    (alarm,) = alarms(lambda epoch: {**HEALTHY, "G_L1": 38.3}, 50, seed)
    assert alarm.kind == "flat"
    assert alarm.epoch < 50
    (alarm,) = alarms(lambda epoch: {**HEALTHY, "G_L1": 45.0 if epoch == 1 else 38.3}, 50, seed)
    assert alarm.kind == "flat"
    assert "G_L1 is flat: 3" in alarm.text


@pytest.mark.parametrize("seed", range(5))
def test_the_published_fall_and_a_late_plateau_are_not_flat(seed: int) -> None:
    assert alarms(lambda epoch: {**HEALTHY, "G_L1": published_G_L1(min(epoch, 100))}, 130, seed) == []


def test_a_slow_fall_and_a_short_run_are_not_flat() -> None:
    assert alarms(lambda epoch: {**HEALTHY, "G_L1": 38.3 * 0.97 ** (epoch / 10)}, 50) == []
    assert alarms(lambda epoch: {**HEALTHY, "G_L1": 38.3}, 40, planned=40) == []


def test_the_published_run_brings_no_alarm(shared: Callable[[str], Path]) -> None:
    text = shared("reference/v100_facades_resnet9_losses.csv").read_text()
    rows = [{name: float(row[name]) for name in HEALTHY} for row in csv.DictReader(text.splitlines())]

    def found(config: AlarmConfig) -> list[Alarm]:
        rules = AlarmRules(config, "vanilla", 4, 200)  # four printed lines an epoch
        return [alarm for step, row in enumerate(rows, 1) for alarm in rules.step(step, (step + 3) // 4, row)]

    assert found(AlarmConfig()) == found(AlarmConfig(flat_until=0.5, collapse_below=0.05)) == []
    # its plateau late on is one, and would be an alarm: this is why only the first quarter is looked at
    assert {alarm.kind for alarm in found(AlarmConfig(flat_until=1.0))} == {"flat"}


def test_a_run_taken_up_again_remembers() -> None:
    def collapsed(epoch: int) -> dict[str, float]:
        return {**HEALTHY, "D_real": 0.001, "D_fake": 0.001}

    whole, first = (AlarmRules(AlarmConfig(), "vanilla", STEPS, 20) for _ in range(2))
    stream = list(losses(collapsed, 12, seed=3))
    cut = 4 * STEPS + STEPS // 3  # within an epoch, before the alarm
    expected = [whole.step(*one) for one in stream]
    found = [first.step(*one) for one in stream[:cut]]
    second = AlarmRules(AlarmConfig(), "vanilla", STEPS, 20)
    second.load_state(first.state())
    found += [second.step(*one) for one in stream[cut:]]
    assert found == expected
    (alarm,) = (alarm for step in found for alarm in step)
    assert (alarm.kind, alarm.epoch) == ("collapse", 5)
