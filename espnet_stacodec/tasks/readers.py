"""ESPnet's tasks that read codes, with checkpoints that outlive a kill while they are written."""

from espnet2.tasks import asr, mt, slu
from espnet2.tasks.abs_task import AbsTask
from espnet2.train.trainer import Trainer

from espnet_stacodec.train import checkpoint_recovery


class KeepingTrainer(Trainer):
    """ESPnet's trainer; the checkpoint before is kept until the one of this epoch is whole."""

    @classmethod
    def validate_one_epoch(cls, *, options, distributed_option, **kwargs) -> None:
        """Validate, and keep the checkpoint of the epoch before."""
        super().validate_one_epoch(options=options, distributed_option=distributed_option, **kwargs)
        if distributed_option.dist_rank in (None, 0):
            checkpoint_recovery.keep_previous(options.output_dir)


# Named as ESPnet's: the processes that ESPnet starts import them, and wandb shows the name.
class ASRTask(asr.ASRTask):
    """Recognition of speech."""

    trainer = KeepingTrainer


class MTTask(mt.MTTask):
    """Translation, also from codes to words."""

    trainer = KeepingTrainer


class SLUTask(slu.SLUTask):
    """Understanding of spoken language."""

    trainer = KeepingTrainer


READERS: dict[str, type[AbsTask]] = {"asr_train": ASRTask, "mt_train": MTTask, "slu_train": SLUTask}
