import torch

from openmm_trajgan.models.coarse_to_fine import GeneratorConfig, midpoints_of


def test_strides_are_powers_of_two_below_the_window():
    strides = {4: [2, 1], 5: [4, 2, 1], 7: [4, 2, 1], 16: [8, 4, 2, 1], 40: [32, 16, 8, 4, 2, 1], 64: [32, 16, 8, 4, 2, 1]}
    assert {length: GeneratorConfig(length, 0).strides for length in strides} == strides


def test_single_frames_are_drawn_in_four_passes_each_in_view_of_those_before():
    """Of eight frames the first, the fifth, the third and the seventh odd one see the odd ones two or four away that are drawn."""
    config, device = GeneratorConfig(window_length=16, context_length=0), torch.device("cpu")
    seen = []
    for number in range(config.n_passes(1)):
        midpoints = midpoints_of(config, 1, range(number, number + 1), 0, device)
        neighbours = zip(midpoints.times.tolist(), midpoints.around, midpoints.present, strict=True)
        seen.append({time: sorted(around[present & (around % 2 == 1)].tolist()) for time, around, present in neighbours})
    assert seen == [{1: [], 9: []}, {5: [1, 9], 13: [9]}, {3: [1, 5], 11: [9, 13]}, {7: [3, 5, 9, 11], 15: [11, 13]}]


def test_training_and_drawing_see_the_same_neighbours():
    config, device = GeneratorConfig(window_length=40, context_length=6), torch.device("cpu")
    for stride in config.strides:
        passes = range(config.n_passes(stride))
        every = midpoints_of(config, stride, passes, 3, device)
        each = [midpoints_of(config, stride, range(number, number + 1), 3, device) for number in passes]
        for name, value in vars(every).items():
            assert torch.equal(value, torch.cat([getattr(one, name) for one in each]))
