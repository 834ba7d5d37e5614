"""Make a trained generator faster, with the same results.

For inference only: a folded generator has other parameter names and does not train as before.
"""

from typing import Any, cast

from espnet2.gan_codec.shared.decoder.seanet import SConvTranspose1d
from espnet2.gan_codec.shared.encoder.seanet import SConv1d, SEANetResnetBlock
from torch import nn
from torch.nn.utils import parametrize

from espnet_stacodec.gan_codec.generator import STACodecGenerator


def fold(generator: nn.Module) -> None:
    """Fold weight norms and padding into the convolutions, and activate in place.

    Of ESPnet's built-in codecs, whose convolutions are not ours, only weight norms are folded.
    """
    fold_weight_norm(generator)
    if isinstance(generator, STACodecGenerator):
        for network in (generator.encoder, generator.decoder):
            _activate_in_place(network)
            # Causal convolutions are padded on one side, which torch's cannot do themselves.
            if not generator.causal:
                _fold_padding(network, whole_strides=generator.pads_waveform)


def fold_weight_norm(model: nn.Module) -> None:
    """Replace normalized weights by their product, which is then not computed at every call."""
    for module in list(model.modules()):
        if parametrize.is_parametrized(module, "weight"):
            # The product is an attribute of the class, which a module shares with its copies, and
            # which it is removed from.
            shared: Any = type(module)
            own = type(shared.__name__, shared.__bases__, {"weight": shared.weight})
            module.__class__ = own
            parametrize.remove_parametrizations(module, "weight")
            # As the product comes, transposed convolutions would copy it at each call.
            weight = cast(nn.Parameter, module.weight)
            weight.data = weight.data.contiguous()
            # Weight norm's reader of older checkpoints stays behind, and cannot be pickled.
            module._load_state_dict_pre_hooks.clear()


def _activate_in_place(network: nn.Module) -> None:
    """Save a copy of the signal at each activation but those that begin a residual block.

    What goes into a block is added to what comes out of it, so it must stay as it is.
    """
    first = {id(m.block[0]) for m in network.modules() if isinstance(m, SEANetResnetBlock)}
    for module in network.modules():
        if isinstance(module, nn.ELU) and id(module) not in first:
            module.inplace = True


def _fold_padding(parent: nn.Module, whole_strides: bool) -> None:
    """Let convolutions pad and trim themselves where it is equal on both sides.

    Args:
        parent: The network.
        whole_strides: Whether the input of every convolution is whole strides. Otherwise those
            with a stride pad by a number of frames that depends on their input.
    """
    for name, child in parent.named_children():
        conv: nn.Conv1d | nn.ConvTranspose1d
        if isinstance(child, SConv1d):
            conv = child.conv.conv
            if conv.stride[0] > 1 and not whole_strides:
                continue
            extent = (conv.kernel_size[0] - 1) * conv.dilation[0] + 1
        elif isinstance(child, SConvTranspose1d):
            conv = child.convtr.convtr
            extent = conv.kernel_size[0]
        else:
            _fold_padding(child, whole_strides)
            continue
        side, odd = divmod(extent - conv.stride[0], 2)
        if not odd:
            conv.padding = (side,)
            setattr(parent, name, conv)
