"""What is known of the MNIST family. To add one of its kind, add an entry to ``CATALOG``."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CATALOG", "FILES", "STEMS", "Source", "file_names", "whose"]

STEMS = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
"""For each split the names of its images and its labels, without ``.gz``."""

FILES = STEMS["train"] + STEMS["test"]


@dataclass(frozen=True)
class Source:
    """A published data set: what its classes mean, the sha256 of each file unpacked, and mirrors.

    ``sums`` follows the order of :data:`FILES` and is of the unpacked files, because everyone packs
    them anew. A mirror is an address to which ``<stem>.gz`` is appended.
    """

    name: str
    classes: tuple[str, ...]
    sums: tuple[str, str, str, str]
    mirrors: tuple[str, ...]

    def sum_of(self, stem: str) -> str:
        """The sha256 that the unpacked file ``stem`` must have."""
        return self.sums[FILES.index(stem)]


CATALOG = {
    source.name: source
    for source in (
        Source(
            name="mnist",
            classes=tuple("0123456789"),
            sums=(
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
            mirrors=(
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
            ),
        ),
        Source(
            name="fashion-mnist",
            classes=(
                "T-shirt/top",
                "Trouser",
                "Pullover",
                "Dress",
                "Coat",
                "Sandal",
                "Shirt",
                "Sneaker",
                "Bag",
                "Ankle boot",
            ),
            sums=(
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
            # The first speaks no https; the checksums decide what is believed.
            mirrors=(
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
            ),
        ),
    )
}


def file_names(stem: str) -> tuple[str, ...]:
    """How a file may be called: packed or not, and with the dot that some unpackers put."""
    dotted = stem.replace("-idx", ".idx")
    return f"{stem}.gz", stem, f"{dotted}.gz", dotted


def whose(digest: str) -> str | None:
    """``"<data set>'s <file>"`` for the sha256 of a known unpacked file."""
    for source in CATALOG.values():
        if digest in source.sums:
            return f"{source.name}'s {FILES[source.sums.index(digest)]}"
    return None
