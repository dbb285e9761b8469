"""Studies of a training protocol: the same architectures under several variants of it.

Yang et al. 2020, "NAS evaluation is frustratingly hard" (https://arxiv.org/abs/1912.12522), sections 4 and 5,
in general form: ablations of training tricks, repetition with other seeds, proxies of another depth.
"""
