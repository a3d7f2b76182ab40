import numpy as np
from load import CASES, LENGTH, write

from openmm_trajgan.buffer import WindowBuffer


def test_windows_of_a_hundred_million_frames_come_from_files_that_all_stay_open(tmp_path):
    write(tmp_path / "buffer", *CASES["100 million frames in one stream"])
    buffer = WindowBuffer(tmp_path / "buffer")
    windows = buffer.windows(LENGTH)
    assert len(windows) == 100_000_000 - LENGTH + 1
    for seed in range(10):
        assert windows.sample(256, np.random.default_rng(seed)).shape == (256, LENGTH, 4)
    opened = buffer._store._reader._file.cache_info()
    assert opened.misses == opened.currsize == sum(1 for _ in tmp_path.rglob("*.npy"))


def test_windows_of_more_streams_than_files_may_be_open_are_those_of_the_streams(tmp_path):
    write(tmp_path / "buffer", 300, 5, 1)
    for index, path in enumerate(sorted(tmp_path.rglob("*.npy"))):
        rows = np.load(path)
        rows["features"] = index
        np.save(path, rows)
    drawn, streams = WindowBuffer(tmp_path / "buffer").windows(2).draw(2000, np.random.default_rng(1))
    assert len(np.unique(streams)) > 250
    assert np.array_equal(drawn, np.broadcast_to(streams[:, None, None], drawn.shape))
