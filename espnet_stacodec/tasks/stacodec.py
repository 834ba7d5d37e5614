"""ESPnet's GAN codec task, with semantic tokens beside the audio."""

import argparse
import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from espnet2.fileio.read_text import read_2columns_text
from espnet2.gan_codec.espnet_model import ESPnetGANCodecModel
from espnet2.iterators.abs_iter_factory import AbsIterFactory
from espnet2.tasks.abs_task import IteratorOptions
from espnet2.tasks.gan_codec import GANCodecTask, codec_choices
from espnet2.train.collate_fn import CommonCollateFn
from espnet2.train.distributed_utils import get_rank
from espnet2.utils.nested_dict_action import NestedDictAction
from espnet2.utils.types import int_or_none, str_or_none
from typeguard import typechecked

from espnet_stacodec.config import construct
from espnet_stacodec.errors import ConfigError, DataError
from espnet_stacodec.fileio.files import read_scp
from espnet_stacodec.fileio.temporaries import exclusive
from espnet_stacodec.frames import FrameRule
from espnet_stacodec.gan_codec.causal import CONTEXT_FRAMES
from espnet_stacodec.gan_codec.distributed import world_size
from espnet_stacodec.gan_codec.espnet_model import ESPnetSTACodecModel
from espnet_stacodec.gan_codec.quantizer.residual import PADDED_CODE
from espnet_stacodec.gan_codec.stacodec import STACodec
from espnet_stacodec.gan_codec.windows import Windows
from espnet_stacodec.iterators.aligned_chunk_iter_factory import (
    AlignedChunkIterFactory,
    parse_chunk_lengths,
)
from espnet_stacodec.iterators.augmentation import Augmentation
from espnet_stacodec.iterators.validation_share import own_share
from espnet_stacodec.tasks.preprocessors import (
    AlignedPreprocessor,
    AugmentingPreprocessor,
    WholeFramePreprocessor,
)
from espnet_stacodec.tasks.schedule import (
    batches_per_epoch,
    check_numbers,
    check_optimization,
    fit_schedules,
)
from espnet_stacodec.tasks.started_experiment import check_started
from espnet_stacodec.tasks.trained_tokenizer import (
    check_frame_rate,
    check_token_files,
    give_centroids,
    keep_tokenizer,
    with_tokenizer,
)
from espnet_stacodec.tasks.training_options import check_options
from espnet_stacodec.tasks.training_provenance import training_provenance
from espnet_stacodec.train.stacodec_trainer import STACodecTrainer


class STACodecTask(GANCodecTask):
    """Trains `stacodec` on chunks of audio and tokens; ESPnet's own codecs on the same chunks."""

    trainer = STACodecTrainer

    @classmethod
    @typechecked
    def add_task_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Add the task's options, and make its choices the defaults."""
        super().add_task_arguments(parser)
        parser.add_argument(
            "--semantic_tokenizer",
            type=str_or_none,
            help="Folder with the tokenizer.yaml of the semantic tokens (recipe stage 3)",
        )
        parser.add_argument(
            "--steps_per_epoch",
            type=int_or_none,
            help="Steps of the generator in an epoch, cutting utterances again where they give too"
            " few chunks; as many as the training utterances give if not given",
        )
        parser.add_argument(
            "--augmentation_conf",
            action=NestedDictAction,
            default={},
            help="Random gain, equalizer and noise of the training audio, e.g."
            " gain_db=[-15,5]; none if empty",
        )
        parser.set_defaults(
            codec="stacodec",
            # ESPnet splits chunks only where all streams have one length: the task has its own.
            iterator_type="task",
            # Each turn trains one of generator and discriminator.
            unused_parameters=True,
            # Both devices' where there are GPUs: step counts are exchanged by the hosts.
            dist_backend="auto",
        )

    @classmethod
    def optional_data_names(cls, train: bool = True, inference: bool = False) -> tuple[str, ...]:
        """Semantic tokens and SSL features of each frame; which are needed depends on the codec."""
        return ("semantic", "features")

    @classmethod
    @typechecked
    def build_model(cls, args: argparse.Namespace) -> ESPnetGANCodecModel:
        """Build the model, and note in `args` what the data path must know of it.

        Raises:
            ConfigError: If a configuration key is unknown, or the codec needs a tokenizer and
                none is given, or a number of the codec is text.
        """
        check_numbers(args, ("codec_conf",))
        codec_class = codec_choices.get_class(args.codec)
        if codec_class is not STACodec:
            model = super().build_model(args)
        else:
            args.codec_conf = with_tokenizer(args)
            codec = construct(STACodec, args.codec_conf, "codec_conf")
            if codec.semantic_fingerprint is not None:
                check_frame_rate(codec.frame_rule, args.semantic_tokenizer)
            give_centroids(codec, args.semantic_tokenizer)
            # Trainings of several seeds begin and replace entries differently.
            codec.generator.quantizer.seed = args.seed
            model = ESPnetSTACodecModel(codec)
        meta = model.meta_info()
        # ESPnet writes args to config.yaml after this; the iterators are built later still.
        args.fs, args.frame_shift = int(meta["fs"]), int(meta["frame_shift"])
        return model

    @classmethod
    def build_optimizers(
        cls, args: argparse.Namespace, model: ESPnetGANCodecModel
    ) -> list[torch.optim.Optimizer]:
        """Build the optimizers; `args` get the lengths of the schedules, which ESPnet builds next.

        Raises:
            ConfigError: If a learning rate's schedule is shorter than the training, one of their
                numbers is text, or optimizers or schedules cannot be built.
        """
        check_numbers(args)
        if args.collect_stats:
            args.scheduler = args.scheduler2 = None  # nothing is trained
        elif args.iterator_type == "task":
            fit_schedules(args)
        check_optimization(args)
        return super().build_optimizers(args, model)

    @classmethod
    @typechecked
    def build_collate_fn(cls, args: argparse.Namespace, train: bool) -> Callable:
        """Pad audio with zeros and tokens with -1: zero is a token."""
        return CommonCollateFn(float_pad_value=0.0, int_pad_value=PADDED_CODE)

    @classmethod
    @typechecked
    def build_preprocess_fn(cls, args: argparse.Namespace, train: bool) -> Callable:
        """ESPnet's preprocessing of the audio, then tokens brought to the codec's frames."""
        preprocess = super().build_preprocess_fn(args, train)
        if train and args.augmentation_conf:
            augmentation = construct(
                Augmentation,
                {"sample_rate": args.fs, **args.augmentation_conf},
                "augmentation_conf",
            )
            preprocess = AugmentingPreprocessor(preprocess, augmentation)
        frame_rule = FrameRule(args.frame_shift, args.fs)
        if codec_choices.get_class(args.codec) is not STACodec:
            return WholeFramePreprocessor(preprocess, frame_rule)
        generator_params = args.codec_conf.get("generator_params") or {}
        return AlignedPreprocessor(
            preprocess, frame_rule, generator_params.get("semantic_clusters")
        )

    @classmethod
    def build_task_iter_factory(
        cls, args: argparse.Namespace, iter_options: IteratorOptions, mode: str
    ) -> AbsIterFactory:
        """Build the iterator: chunks in training, whole utterances otherwise."""
        check_token_files(iter_options.data_path_and_name_and_type, args.semantic_tokenizer)
        check_utterances(iter_options.data_path_and_name_and_type, iter_options.shape_files)
        if mode != "train":
            # Every rank gets whole batches: none is too small to be divided.
            options = dataclasses.replace(iter_options, distributed=False)
            factory = cls.build_sequence_iter_factory(args, options, mode)
            return own_share(factory) if iter_options.distributed else factory
        # Short items are collated, which tells their lengths, instead of being dropped.
        frame_rule = FrameRule(args.frame_shift, args.fs)
        check_windows(args, frame_rule)
        utterances = len(read_scp(iter_options.data_path_and_name_and_type[0][0]))
        for what, number in (("batch_size", args.batch_size), ("number of utterances", utterances)):
            if number < world_size():
                raise ConfigError(
                    f"the {what} {number} is less than the {world_size()} processes of this"
                    " training, which divide it; raise it, or train with fewer."
                )
        if args.num_iters_per_epoch is not None:
            # ESPnet counts the utterances of each rank.
            own = max(1, args.num_iters_per_epoch // world_size())
            iter_options = dataclasses.replace(iter_options, num_iters_per_epoch=own)
        options = argparse.Namespace(**vars(args) | {"chunk_discard_short_samples": False})
        return AlignedChunkIterFactory(
            cls.build_chunk_iter_factory(options, iter_options, mode),
            frame_rule,
            num_batches=batches_per_epoch(args),
        )

    @classmethod
    @typechecked
    def main_worker(cls, args: argparse.Namespace) -> None:
        """Train; the experiment folder gets its own copy of the tokenizer first.

        Raises:
            ConfigError: If the options do not fit the experiment, or each other.
            StageError: If another training is running in this folder.
        """
        if args.ngpu > 1 and not args.distributed:
            raise ConfigError(
                f"ngpu {args.ngpu} in one process would lose what codebooks learn on all GPUs but"
                " one; give --ngpu on the command line of `python -m espnet_stacodec.bin.train`,"
                " which starts a process for each."
            )
        check_options(args, cls.get_parser())
        if args.dist_backend == "auto":
            args.dist_backend = "cpu:gloo,cuda:nccl" if args.ngpu > 0 else "gloo"
        codec_conf = with_tokenizer(args)
        if not args.collect_stats:
            check_started(args, {"codec_conf": codec_conf})
        is_first = not args.distributed or not get_rank(args.dist_rank, args.dist_launcher)
        with contextlib.ExitStack() as stack:
            if is_first:
                # Two trainings would write over each other's checkpoints.
                stack.enter_context(exclusive(Path(args.output_dir), wait=False))
                made = training_provenance(args, codec_conf)
                made.write(args.output_dir, keep_earlier=True)
                if args.semantic_tokenizer and not args.collect_stats:
                    keep_tokenizer(Path(args.semantic_tokenizer), Path(args.output_dir))
            super().main_worker(args)


def check_utterances(
    data_paths: Sequence[tuple[str, str, str]], shape_files: Sequence[str]
) -> None:
    """Raise DataError if a stream lacks utterances of the first, or statistics are of others."""
    first, *others = data_paths
    utt_ids = set(read_scp(first[0]))
    for path, _, _ in others:
        missing = sorted(utt_ids - set(read_scp(path)))
        if missing:
            raise DataError(
                f"{path}: {len(missing)} utterances of {first[0]} are missing (first:"
                f" {missing[0]}); run the stage that makes it again."
            )
    for path in shape_files:
        # ESPnet writes them in the order of its batches, so they are no sorted list.
        differing = sorted(utt_ids ^ set(read_2columns_text(path)))
        if differing:
            raise DataError(
                f"{path}: these are statistics of other utterances than those of {first[0]}:"
                f" {len(differing)} differ (first: {differing[0]}); make them again (stage 4)."
            )


def check_windows(args: argparse.Namespace, frame_rule: FrameRule) -> None:
    """Raise ConfigError where a transformer sees more frames at once than a training chunk has."""
    params = args.codec_conf.get("generator_params") or {}
    chunk_frames = max(parse_chunk_lengths(args.chunk_length)) // frame_rule.hop_samples
    transformers = {}
    if params.get("bottleneck") is not None:
        transformers["bottleneck"] = params["bottleneck"]
    predistillation = params.get("predistillation")
    if predistillation is not None and predistillation.get("convolution") is None:
        transformers["predistillation.transformer"] = predistillation.get("transformer") or {}
    causal = params.get("causal", False)
    key, default = ("context_frames", CONTEXT_FRAMES) if causal else ("window", Windows.size)
    for name, conf in transformers.items():
        window = conf.get(key, default)
        if window > chunk_frames:
            raise ConfigError(
                f"codec_conf.generator_params.{name}: a window of {window} frames is longer than"
                f" the training chunks of {chunk_frames}, and positions beyond them would never be"
                f" trained; lower `{key}` or raise `chunk_length`."
            )
