"""How well a small network spells what was said from one code stream: a CTC probe."""

import dataclasses
from collections.abc import Mapping, Sequence

import editdistance
import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from typeguard import typechecked

from espnet_stacodec.errors import DataError
from espnet_stacodec.evaluation.intervals import Bootstrap, Estimate
from espnet_stacodec.parallel import one_thread

EPOCHS = 40
BATCH_UTTERANCES = 8
LEARNING_RATE = 3e-3
WIDTH = 128
DROPOUT = 0.3
SEED = 0
BLANK = 0


@dataclasses.dataclass(frozen=True)
class Spelling:
    """What a probe reaches.

    Attributes:
        cer: Errors (%) of the characters of the test texts, with its interval.
        utterances: How many were tested.
    """

    cer: Estimate
    utterances: int


class _Speller(nn.Module):
    """Codes -> embeddings -> bidirectional LSTM -> characters."""

    def __init__(self, codes: int, characters: int) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Embedding(codes, WIDTH), nn.Dropout(DROPOUT))
        # Not one that is bidirectional: packed, which padding needs, torch trains it at a quarter
        # of the speed.
        self.onward = nn.LSTM(WIDTH, WIDTH, batch_first=True)
        self.backwards = nn.LSTM(WIDTH, WIDTH, batch_first=True)
        self.spell = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(2 * WIDTH, characters))

    def forward(self, codes: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """codes: (B, T); lengths: (B,). Returns log probabilities (T, B, characters)."""
        embedded = self.embed(codes)
        reversed_, _ = self.backwards(_reverse(embedded, lengths))
        hidden = torch.cat([self.onward(embedded)[0], _reverse(reversed_, lengths)], 2)
        return self.spell(hidden).log_softmax(-1).transpose(0, 1)


def _reverse(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Return x (B, T, D) with the valid frames of each item in reverse; padding is any of them."""
    index = (lengths[:, None] - 1 - torch.arange(x.shape[1])).clamp(min=0)
    return x.gather(1, index[:, :, None].expand_as(x))


@typechecked
def probe_spelling(
    streams: Mapping[str, np.ndarray],
    texts: Mapping[str, str],
    test: Sequence[str],
    speakers: Mapping[str, str] | None = None,
) -> Spelling:
    """Train a probe, and spell the test utterances with it.

    Args:
        streams: Codes (T,) of one codebook, by utterance.
        texts: Transcripts; of one codebook's probe as of another's.
        test: Utterances to test on; trained on all others.
        speakers: Drawn for the interval; None where they are not known.

    Raises:
        DataError: If there is nothing to train or test with.
    """
    names = [name for name in streams if texts.get(name, "").strip() and len(streams[name])]
    tested = [name for name in names if name in set(test)]
    trained = [name for name in names if name not in set(test)]
    if not tested or not trained:
        raise DataError(
            f"The spelling probe has {len(trained)} utterances with transcripts to train and"
            f" {len(tested)} to test; it needs some of both."
        )
    letters = sorted(set("".join(texts[name].lower() for name in trained)))
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = _train(streams, {name: texts[name].lower() for name in trained}, letters)
        heard = _spell(model, [streams[name] for name in tested], letters)
    errors = [editdistance.eval(texts[n].lower(), h) for n, h in zip(tested, heard, strict=True)]
    drawn = None if speakers is None else [speakers.get(name, name) for name in tested]
    rate = Bootstrap(len(tested), drawn).ratio(
        100 * np.array(errors), np.array([len(texts[name]) for name in tested])
    )
    return Spelling(rate, len(tested))


def _train(
    streams: Mapping[str, np.ndarray], texts: Mapping[str, str], letters: Sequence[str]
) -> _Speller:
    names = list(texts)
    number = {letter: index for index, letter in enumerate(letters, BLANK + 1)}
    model = _Speller(1 + max(int(one.max()) for one in streams.values()), len(letters) + 1)
    loss = nn.CTCLoss(BLANK, zero_infinity=True)
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)
    steps = EPOCHS * -(-len(names) // BATCH_UTTERANCES)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(EPOCHS):
        order = torch.randperm(len(names)).tolist()
        for first in range(0, len(order), BATCH_UTTERANCES):
            batch = [names[i] for i in order[first : first + BATCH_UTTERANCES]]
            codes, lengths = _pad([streams[name] for name in batch])
            targets = [torch.tensor([number[x] for x in texts[name]]) for name in batch]
            sizes = torch.tensor([len(target) for target in targets])
            value = loss(model(codes, lengths), torch.cat(targets), lengths, sizes)
            optimizer.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.inference_mode()
def _spell(model: _Speller, streams: Sequence[np.ndarray], letters: Sequence[str]) -> list[str]:
    """Return the best path of each utterance: repeats merged, blanks left out."""
    heard = []
    for stream in streams:
        best = model(*_pad([stream]))[:, 0].argmax(-1)
        merged = torch.unique_consecutive(best).tolist()
        heard.append("".join(letters[one - 1] for one in merged if one != BLANK))
    return heard


def _pad(streams: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    codes = [torch.as_tensor(stream, dtype=torch.long) for stream in streams]
    return pad_sequence(codes, batch_first=True), torch.tensor([len(one) for one in codes])
