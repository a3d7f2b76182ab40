from fuzz_readers import fuzz


def test_damaged_and_hostile_files_are_read_or_refused_in_one_line():
    assert fuzz(700, seed=1)["failures"] == []
