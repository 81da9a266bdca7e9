"""What chance makes of updates, against the obvious way and planted noise."""

import pytest
import torch

from spectraledge.linalg.sign_flips import block_grams, sign_flip_values


def gaussian(*shape, seed=0):
    stream = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=stream, dtype=torch.float64)


def signs(flips, blocks, width, seed=0):
    stream = torch.Generator().manual_seed(seed)
    return torch.randint(2, (flips, blocks, width), generator=stream) * 2 - 1


@pytest.mark.parametrize("block", [1, 3, 7, 50])
def test_equals_flipping_the_updates_themselves(block):
    steps = gaussian(4, 20)
    grams = block_grams(steps, block)
    assert len(grams) == -(-20 // block)
    drawn = signs(40, len(grams), 4)
    found = sign_flip_values(grams, drawn)
    for own, values in zip(drawn, found):
        flipped = steps * own.T.repeat_interleave(block, 1)[:, :20]
        torch.testing.assert_close(values, torch.linalg.svdvals(flipped), rtol=1e-10, atol=1e-12)


def test_blocks_add_up_to_the_gram_matrix():
    steps = gaussian(5, 33)
    torch.testing.assert_close(block_grams(steps, 4).sum(0), steps @ steps.T, rtol=1e-12, atol=0)


def test_white_noise_looks_like_itself_and_a_common_direction_does_not():
    noise = gaussian(5, 4000)
    grams = block_grams(noise, 10)
    flipped = sign_flip_values(grams, signs(200, len(grams), 5))
    own = torch.linalg.svdvals(noise)
    # The null is the distribution that the noise was drawn from, so its extremes are rarely passed.
    assert float(own[0]) < float(flipped[:, 0].quantile(0.999))
    assert float(own[0]) > float(flipped[:, 0].quantile(0.001))
    drift = noise + gaussian(4000, seed=1)
    assert float(torch.linalg.svdvals(drift)[0]) > 1.3 * float(
        sign_flip_values(block_grams(drift, 10), signs(200, 400, 5))[:, 0].max()
    )


def test_what_is_not_finite_is_nan():
    steps = gaussian(3, 10)
    steps[1, 2] = torch.inf
    grams = block_grams(steps, 2)
    assert sign_flip_values(grams, signs(5, 5, 3)).isnan().all()
