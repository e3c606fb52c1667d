"""g is exact: the same bits whatever the precision of the caller, the threads, the batch and the layout."""

from __future__ import annotations

import contextlib
import hashlib

import numpy as np
import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcipher.errors import CheckFailedError, NeuralCipherError, ShapeError
from neuralcipher.generators.autoencoder import AutoencoderConfig, AutoencoderGenerator
from neuralcipher.generators.base import Keystream, find, registry
from neuralcipher.generators.chacha20 import ChaCha20Generator
from neuralcipher.generators.checks import avalanche, noncyclic, uniformity
from neuralcipher.generators.feistel import FeistelConfig, FeistelGenerator

SEED = bytes(range(32))


def latent(shape, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def make(kind, shape):
    return kind.create(shape, seed=SEED, z0=latent(shape), progress=lambda fraction: None)


@pytest.fixture(scope="module", params=[FeistelGenerator, ChaCha20Generator])
def generator(request):
    return make(request.param, (4, 16, 16))


def walk(generator, z, steps: int) -> str:
    digest = hashlib.sha256()
    for _ in range(steps):
        z = generator.next_latent(z)
        digest.update(z.contiguous().numpy().tobytes())
    return digest.hexdigest()


def test_threads_do_not_matter(generator):
    z, threads = latent((4, 16, 16)), torch.get_num_threads()
    digests = set()
    for count in (1, 2, 4):
        torch.set_num_threads(count)
        digests.add(walk(generator, z, 20))
    torch.set_num_threads(threads)
    assert len(digests) == 1


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), batch=st.integers(1, 17))
def test_a_batch_is_many_singles(generator, seed, batch):
    z = torch.stack([latent((4, 16, 16), seed + i) for i in range(batch)])
    together = generator.next_latent(z)
    assert torch.equal(together, torch.stack([generator.next_latent(single) for single in z]))
    layout = z.contiguous(memory_format=torch.channels_last)
    assert torch.equal(generator.next_latent(layout), together)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(generator.next_latent(z), together)


def test_stored_and_read_again(generator):
    copy = type(generator).from_bytes(generator.to_bytes(), generator.shape)
    z = latent((4, 16, 16), 5)
    assert torch.equal(copy.next_latent(z), generator.next_latent(z))


@settings(max_examples=60)
@given(data=st.binary(max_size=80))
def test_other_bytes_are_refused_or_read(generator, data):
    with contextlib.suppress(NeuralCipherError):
        type(generator).from_bytes(data, generator.shape).next_latent(latent(generator.shape))


def test_feistel_is_a_permutation():
    generator = make(FeistelGenerator, (3, 12, 20))
    z = latent((3, 12, 20), 9)
    assert torch.equal(generator.previous_latent(generator.next_latent(z)), z)


@pytest.mark.parametrize("shape", [(8, 8, 16), (3, 64, 64), (16, 64, 48)])
def test_feistel_diffuses_and_is_uniform(shape):
    generator = make(FeistelGenerator, shape)
    z = latent(shape)
    assert avalanche(generator, z).ok
    data = b"".join(
        latents.numpy().tobytes() for _, latents in zip(range(20), Keystream(generator, z).latents(), strict=False)
    )
    assert uniformity(data).p_value > 1e-6


def test_noncyclic_holds_and_fails_as_it_should():
    shape = (3, 32, 32)
    for kind in (FeistelGenerator, ChaCha20Generator):
        assert noncyclic(make(kind, shape), latent(shape), 300).ok

    class Cycle:
        """Comes back after 50 steps."""

        name = "cycle"
        shape = (3, 32, 32)

        def next_latent(self, z):
            return torch.roll(z, 1, dims=0) if int(z[0, 0, 0]) % 2 else z.flip(0)

    report = noncyclic(Cycle(), latent(shape), 60)
    assert report.repeated
    assert not report.ok


# SHA-256 over 1,000 latents: a change of any bit would leave every stored bundle unreadable.
GOLDEN = {
    "feistel": "78ba3a8d38e15ef6c3712327d82a0fc5f859f174bc46757c655b74dd5834fec7",
    "chacha20": "4152fa30908a4ad295843112e62756c048b980c8d79accaad711e345427889d3",
}


@pytest.mark.parametrize("name", sorted(GOLDEN))
@pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]
)
def test_a_thousand_steps_are_what_they_were(name, device):
    generator = make(find(name), (4, 16, 16)).to(torch.device(device))
    z, digest = latent((4, 16, 16)).to(device), hashlib.sha256()
    for _ in range(1000):
        z = generator.next_latent(z)
        digest.update(z.cpu().numpy().tobytes())
    assert digest.hexdigest() == GOLDEN[name]


@pytest.mark.parametrize("shape", [(1, 8, 32), (3, 12, 20), (4, 16, 16), (1, 17, 34)])
@pytest.mark.parametrize("rounds", [1, 3, 8])
def test_feistel_is_what_its_description_says(shape, rounds):
    generator = FeistelGenerator(shape, SEED, FeistelConfig(rounds=rounds))
    other = reference.Feistel(shape, SEED, rounds, generator.config.hidden)
    z = latent(shape, 3)
    for _ in range(2):
        expected = other.next_latent(z.numpy())
        z = generator.next_latent(z)
        assert np.array_equal(z.numpy(), expected)


@pytest.mark.parametrize("remedies", [True, False])
def test_autoencoder_is_what_its_description_says(remedies):
    shape = (3, 16, 24)
    config = AutoencoderConfig(remedies=remedies, steps=1, length=2)
    trained = AutoencoderGenerator.train(
        shape, seed=SEED, z0=latent(shape), progress=lambda fraction: None, config=config
    )
    data = trained.to_bytes()
    other = reference.Autoencoder(data, shape)
    generator, z = AutoencoderGenerator.from_bytes(data, shape), latent(shape, 3)
    for _ in range(3):
        expected = other.next_latent(z.numpy())
        z = generator.next_latent(z)
        assert np.array_equal(z.numpy(), expected)


def test_shapes_that_do_not_fit():
    with pytest.raises(ShapeError):
        make(FeistelGenerator, (1, 1, 3))
    with pytest.raises(ShapeError):
        make(AutoencoderGenerator, (3, 30, 64))
    with pytest.raises(ShapeError):
        Keystream(make(ChaCha20Generator, (1, 8, 8)), latent((1, 8, 16)))


def test_names():
    assert {"feistel", "autoencoder", "chacha20"} <= set(registry.names())
    with pytest.raises(NeuralCipherError, match="feistell") as caught:
        find("feistell")
    assert "feistel" in caught.value.hint


@pytest.mark.slow
def test_autoencoder_trains_and_does_not_cycle():
    shape = (3, 32, 32)
    generator = make(AutoencoderGenerator, shape)
    assert noncyclic(generator, latent(shape), 1000).ok
    copy = AutoencoderGenerator.from_bytes(generator.to_bytes(), shape)
    z = torch.stack([latent(shape, i) for i in range(3)])
    assert torch.equal(copy.next_latent(z), torch.stack([generator.next_latent(single) for single in z]))


@pytest.mark.slow
def test_algorithm_2_as_printed_is_refused():
    shape, config = (3, 32, 32), AutoencoderConfig(remedies=False, length=16)
    with pytest.raises(CheckFailedError, match="collapsed"):
        AutoencoderGenerator.create(shape, seed=SEED, z0=latent(shape), progress=lambda fraction: None, config=config)
