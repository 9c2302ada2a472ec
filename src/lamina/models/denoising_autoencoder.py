"""Denoising autoencoder: restore the clean input from a corrupted one.

Papers: Vincent, Larochelle, Bengio, Manzagol, "Extracting and composing robust features with denoising autoencoders",
ICML 2008; "Stacked denoising autoencoders", JMLR 11 (2010); Alain, Bengio, "What regularized auto-encoders learn from
the data-generating distribution", JMLR 15 (2014), arXiv 1211.4246.
What was new: a hidden layer may be wider than the input and still learn features, because the identity no longer
restores the input. The best restoration is r(x~) = E[x | x~]; for Gaussian noise of variance sigma^2 (r(x) - x) /
sigma^2 points uphill in the density of the data.

Differences from the paper: rectified units, untied weights, Adam; the papers have one logistic layer with tied weights,
stacked one after the other. The corruption is the objective's: masking, Gaussian, salt and pepper.

Forward (``Autoencoder.forward``, models/autoencoder.py):

    z_BL = self.latent(self.encoder(x))  # x corrupted, by the objective
    return self.decoder(z_BL).reshape(x.shape)  # compared with the clean x

Legend: B batch, F input features, L latent dimensions.

Reading order: models/denoising_autoencoder.py, models/autoencoder.py, layers/autoencoding.py.
"""

from __future__ import annotations

from lamina.cards import Card, Variant
from lamina.layers.autoencoding import encoder_part
from lamina.models.autoencoder import Autoencoder, AutoencoderConfig


class DenoisingAutoencoder(Autoencoder):
    """Corrupted inputs (B, F) or (B, C, H, W) -> clean ones of the same shape.

        x~ -> hidden layers -> z -> hidden layers in reverse -> x^, compared with x

    >>> model = lamina.create_model("denoising-autoencoder", in_features=30, hidden=(40,), latent=30)
    >>> model(torch.zeros(5, 30)).shape
    torch.Size([5, 30])
    """


VARIANTS = {
    "denoising-autoencoder": Variant(
        build=DenoisingAutoencoder,
        config=AutoencoderConfig(hidden=(512,), latent=128),
        parts=encoder_part,
        card=Card(
            title="Denoising autoencoder",
            summary="Restores a clean input from a corrupted one; for tables and small images.",
            paper="Extracting and composing robust features with denoising autoencoders",
            authors="Vincent, Larochelle, Bengio, Manzagol",
            year=2008,
            inputs=("table", "image"),
            tasks=("autoencoding",),
            objective="denoising",
            input=(784,),
            # 784 -> 512 -> 128 -> 512 -> 784
            parameters=785 * 512 + 513 * 128 + 129 * 512 + 513 * 784,
            macs=2 * (784 * 512 + 512 * 128),
            reference="a torch.nn.Sequential built by hand",
            differences=(
                "rectified units and untied weights; the paper's are logistic and tied",
                "two layers to the code, trained at once; the paper stacks single layers",
            ),
            recipe="denoising-autoencoder",
            aliases=("dae", "denoising-ae"),
        ),
    ),
}
