"""The training recipe as data. No TensorFlow here: a search's settings are read long before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Augmentation:
    """How a batch of features is varied, anew in every epoch. Zero switches an item off.

    Lengths are frames and coefficients (or mel bands); `noise` and `channel` are in standard deviations of the
    coefficient over the training set. `style` is the part of the clips that MixStyle (arXiv 2104.02008) changes,
    `mixup` the α of the Beta distribution of mixup (arXiv 1710.09412), and the masks are SpecAugment's (arXiv
    1904.08779). `channel` and the masks were chosen on synthetic voices: trained on four of them, tested on others.
    """

    time_shift_frames: int = 5
    time_stretch: float = 0.15
    time_masks: int = 1
    time_mask_frames: int = 6
    frequency_masks: int = 1
    frequency_mask_bands: int = 2
    noise: float = 0.1
    channel: float = 0.4
    style: float = 0.0
    mixup: float = 0.0


FOR_LONG_TRAINING = Augmentation(time_masks=2, time_mask_frames=8, channel=0.6, style=0.5)
"""For networks that are shown several hundred thousand clips; in a short training they learn less. Trained so on
synthetic voices they tell recorded digits better by about two points in a hundred for the masks, and by one for
`channel` and `style` (Free Spoken Digits, all speakers in view; twelve networks each). Trained on recordings too, they
gain nothing by these two, and may lose half a point.
"""


@dataclass(frozen=True)
class TrainSettings:
    """How a network is trained: AdamW, warm-up then a cosine to zero, an average of the last weights.

    Of `epochs` that are no whole number the last sees a random part of the clips.

    `max_seconds` shortens the schedule instead of cutting it: the learning rate follows whichever is further, epochs or
    time. A run that it touches is repeatable only as far as the clock is.

    A candidate whose validation accuracy is under `reject_below` after `reject_after` of its schedule stops there.
    """

    epochs: float = 40
    batch_size: int = 64
    learning_rate: float = 3e-3
    warmup_fraction: float = 0.05
    weight_decay: float = 1e-2
    label_smoothing: float = 0.1
    augmentation: Augmentation = field(default_factory=Augmentation)
    reject_after: float = 0.25
    reject_below: float = 0.0
    max_seconds: float | None = None
    seed: int = 0
