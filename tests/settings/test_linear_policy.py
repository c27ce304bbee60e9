"""The learning rate of each epoch against upstream's rule."""

from gbench.settings.linear_policy import linear_factor


def test_it_stays_and_then_falls_by_the_same_to_its_last_epoch() -> None:
    """Of 3 epochs and 3 of decay: the fourth share of the rate less in each from the third on, as upstream's is moved
    before an epoch; never below nothing."""
    assert [linear_factor(3, 3, epoch) for epoch in range(1, 8)] == [1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]


def test_without_decay_it_is_constant_but_for_the_last_epoch() -> None:
    assert [linear_factor(3, 0, epoch) for epoch in range(1, 4)] == [1.0, 1.0, 0.0]
