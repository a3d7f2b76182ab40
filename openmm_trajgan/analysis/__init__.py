"""Is generated data as good as more MD? Distributions, dynamics and kinetics, each beside MD against MD."""
