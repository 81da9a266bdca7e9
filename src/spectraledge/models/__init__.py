"""Plain ``nn.Module`` models for one run; the run axis is added outside, by the trainer."""

from spectraledge.models.base import ModelSpec, seeded
from spectraledge.models.causal_decoder import CausalDecoder, CausalDecoderSpec
from spectraledge.models.encoder import PreNormEncoder, PreNormEncoderSpec
from spectraledge.models.encoder_decoder import EncoderDecoder, EncoderDecoderSpec
from spectraledge.models.multi_task_encoder import MultiTaskEncoder, MultiTaskEncoderSpec
from spectraledge.models.scale_invariant import ScaleInvariantDecoder, ScaleInvariantDecoderSpec

__all__ = [
    "CausalDecoder",
    "CausalDecoderSpec",
    "EncoderDecoder",
    "EncoderDecoderSpec",
    "ModelSpec",
    "MultiTaskEncoder",
    "MultiTaskEncoderSpec",
    "PreNormEncoder",
    "PreNormEncoderSpec",
    "ScaleInvariantDecoder",
    "ScaleInvariantDecoderSpec",
    "seeded",
]
