"""Small cases of EDM's networks, for the generator of the golden `edm-*` data (`gen_edm.py --cases edm_cases.py`)."""
TINY = dict(model_channels=8, num_blocks=1, dropout=0.13, attn_resolutions=[4], channel_mult_noise=1)

EDM = {
    "edm-tiny-ddpmpp": dict(
        form="DDPM++, 3 classes, augmentation labels", seed=2101, res=8, label_dim=3, sigma=[0.05, 3.0], full_limit=400,
        net=dict(TINY, embedding_type="positional", encoder_type="standard", decoder_type="standard",
                 resample_filter=[1, 1], channel_mult=[1, 2], augment_dim=2),
    ),
    "edm-tiny-ncsnpp": dict(
        form="NCSN++, unconditional", seed=2102, res=8, label_dim=0, sigma=[0.4, 20.0], full_limit=400,
        net=dict(TINY, embedding_type="fourier", encoder_type="residual", decoder_type="standard",
                 resample_filter=[1, 3, 3, 1], channel_mult=[2, 1], channel_mult_noise=2, augment_dim=0),
    ),
    "edm-tiny-skip": dict(
        form="skip encoder and decoder, three levels, 2 classes", seed=2103, res=8, label_dim=2, sigma=[0.1, 1.0, 60.0],
        full_limit=400,
        net=dict(TINY, embedding_type="positional", encoder_type="skip", decoder_type="skip",
                 resample_filter=[1, 3, 3, 1], channel_mult=[1, 1, 2], augment_dim=0),
    ),
}
