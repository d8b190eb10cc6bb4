"""What training and annotation at full size cost: images a second, hours, energy, storage, memory of the host.

Arithmetic on a few numbers, each of one of three kinds, and none of them a measurement on a GPU:

    computed   operations for a picture (`work`), bytes for a latent, a prompt, a checkpoint: from shapes
    cited      a card's peak, watts and bandwidths, from its maker's data sheet; one published training speed
    assumed    the share of the peak that is reached: `SHARES`, a range, so every time comes as a range too

A step of training is arithmetic, then the update of the weights, which is bound by the card's memory, then the
exchange of gradients between cards. They are added up, though good software overlaps the last with the first: the
model errs towards too slow where many cards share a small batch.
"""

from dataclasses import dataclass

# Share of a card's peak that arithmetic reaches. The likely one in half precision is what a published run reached:
# 8 A100 trained Stable Diffusion 2's UNet at 256 x 256 on latents computed before at 1100 images a second (README of
# github.com/mosaicml/diffusion); with this UNet's operations that is 24% of 8 x 312 TFLOP/s, its update and exchange
# included, which are added here once more. In float32, without tensor cores, the peak is lower and easier to come near.
SHARES = {
    "half": {"slow": 0.15, "likely": 0.24, "fast": 0.40},
    "single": {"slow": 0.30, "likely": 0.50, "fast": 0.80},
}
PUBLISHED = {8: 1100, 16: 2180, 32: 4080, 64: 8530, 128: 11600}  # A100s → images a second, the same source
ADAMW_BYTES = 28  # moved for a trained parameter, float32: four numbers are read, three written
AVERAGE_BYTES = 12  # two are read, one is written
GRADIENT_BYTES = 4
MAP_SHARE = 1 / 50  # of a map's bytes, compressed: of tiny ones, 192 pixels wide, measured; wider ones are evener
CHECKPOINT_BYTES = 16  # a trained parameter: weight, average, two moments, float32 (`plm.checkpoint`)


@dataclass(frozen=True)
class Card:
    """A GPU as its data sheet describes it: dense operations a second, bytes a second, watts."""

    name: str
    memory_gb: int
    half: float  # bf16 with tensor cores, or fp16 where there is no bf16
    single: float  # float32 without tensor cores
    bandwidth: float  # of its memory
    link: float  # to the other cards of its machine, one way
    watts: float  # the most that it may draw
    source: str


CARDS = {
    card.name: card
    for card in (
        Card("A800", 80, 312e12, 19.5e12, 2039e9, 200e9, 400, "as A100, with NVLink at 400 GB/s both ways"),
        Card("A100", 80, 312e12, 19.5e12, 2039e9, 300e9, 400, "NVIDIA A100 data sheet (SXM, 80 GB)"),
        Card("H100", 80, 989e12, 67e12, 3350e9, 450e9, 700, "NVIDIA H100 data sheet (SXM), without sparsity"),
        Card("RTX 4090", 24, 165e12, 82.6e12, 1008e9, 32e9, 450, "NVIDIA Ada architecture paper, fp32 accumulate"),
        Card("L4", 24, 121e12, 30.3e12, 300e9, 32e9, 72, "NVIDIA L4 data sheet, without sparsity"),
        Card("T4", 16, 65e12, 8.1e12, 320e9, 16e9, 70, "NVIDIA T4 data sheet; fp16, it has no bf16"),
    )
}


@dataclass(frozen=True)
class Cluster:
    """Cards of one kind, spread evenly over machines."""

    card: Card
    cards: int = 1
    machines: int = 1
    network: float = 12.5e9  # bytes a second of one machine to the others, one way; 100 Gbit/s

    def __post_init__(self):
        if self.cards < 1 or self.machines < 1 or self.cards % self.machines:
            raise ValueError(f"{self.cards} cards cannot be spread evenly over {self.machines} machines")


@dataclass(frozen=True)
class Step:
    """Seconds of one step of training, by what they are for."""

    batch: int
    compute: float
    update: float
    exchange: float

    @property
    def seconds(self) -> float:
        return self.compute + self.update + self.exchange

    @property
    def images_per_second(self) -> float:
        return self.batch / self.seconds


def train_step(work: float, batch: int, trained: int, cluster: Cluster, share: float, average: bool = True) -> Step:
    """A step on a global batch that the cards share (DistributedDataParallel, half precision).

    work: operations a sample; trained: parameters that ask for gradients; share: of the peak. The card with the most
    samples decides. `ValueError` where a card would have none.
    """
    if batch < cluster.cards:
        raise ValueError(f"a batch of {batch} cannot be shared by {cluster.cards} cards")
    card, most = cluster.card, -(-batch // cluster.cards)
    moved = ADAMW_BYTES + (AVERAGE_BYTES if average else 0)
    return Step(
        batch=batch,
        compute=most * work / (card.half * share),
        update=trained * moved / card.bandwidth,
        exchange=exchange_seconds(GRADIENT_BYTES * trained, cluster),
    )


def exchange_seconds(size: float, cluster: Cluster) -> float:
    """Summing `size` bytes over all cards: a ring within each machine, and one over machines.

    In a ring of n, each sends and receives 2 (n - 1) / n of them (Patarasuk and Yuan 2009).
    """

    def ring(members: int, speed: float) -> float:
        return 2 * (members - 1) / members * size / speed

    within = cluster.cards // cluster.machines
    return ring(within, cluster.card.link) + ring(cluster.machines, cluster.network)


def forward_seconds(work: float, pictures: int, cluster: Cluster, share: float, precision: str = "single") -> float:
    """Pictures shared out to cards that need nothing of each other: annotation, encoding, translation."""
    return work * pictures / (getattr(cluster.card, precision) * share * cluster.cards)


def kilowatt_hours(seconds: float, cluster: Cluster, around: float = 1.0) -> float:
    """At the cards' limit, which is a bound; `around` multiplies for the machine and its cooling, which is left out."""
    return seconds * cluster.cards * cluster.card.watts * around / 3.6e6


# --- bytes ---------------------------------------------------------------------------------------------------------


def latent_bytes(pictures: int, side: int, crops: int = 1, looks: int = 1, channels: int = 8) -> int:
    """What `plm.prepare` keeps, on disk and in memory, float16. A target's moments have 8 channels, a condition 4."""
    return pictures * crops * looks * channels * side * side * 2


def prompt_bytes(prompts: int, width: int, tokens: int = 77) -> int:
    """Hidden states in memory, float32; on disk only words are kept."""
    return prompts * tokens * width * 4


def map_bytes(pictures: int, side: int) -> int:
    """Segment maps as `plm.annotate` keeps them: uint8, three channels, zip-compressed; see `MAP_SHARE`."""
    return round(pictures * side * side * 3 * MAP_SHARE)


def checkpoint_bytes(trained: int, kept: int = 2) -> int:
    """All that is kept of a run in progress. While the next is written there is one more."""
    return kept * CHECKPOINT_BYTES * trained


def host_bytes(pairs: int, side: int, width: int, crops: int, processes: int = 1) -> int:
    """Main memory of one machine in phases 2 and 3: each process holds all latents and prompts (`plm.dataset`)."""
    latents = latent_bytes(pairs, side, crops) + 2 * latent_bytes(pairs, side, crops, channels=4)
    return processes * (latents + prompt_bytes(pairs, width))
