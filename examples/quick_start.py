import openmm_trajgan as tg
from openmm_trajgan.systems import alanine_dipeptide  # or simulations of your own

buffer, features = None, None
for replica in range(5):
    simulation = alanine_dipeptide.build(seed=replica + 1)  # an openmm.app.Simulation
    features = features or tg.Torsions.backbone(simulation.topology)
    buffer = buffer or tg.WindowBuffer("ala2.windows", schema=features.schema)
    simulation.reporters.append(tg.WindowReporter(buffer, 50, features, stream=f"replica{replica}"))
    simulation.step(500_000)
buffer.close()

train, held_out = buffer.trajectories(buffer.streams[:-1]), buffer.trajectories(buffer.streams[-1:])
gan = tg.TrajGAN(window_length=64).fit(train, minutes=3, seed=1)
gan.save("ala2.trajgan")
generated = gan.generate(n_frames=50_000, n_trajectories=4, seed=2)

audit = tg.audit(reference=held_out, generated=generated, train=train)
audit.to_html("audit.html")
universe = tg.to_universe(generated, simulation.topology, reference=buffer, trajectory=0)
tg.write_universe(universe, "generated.xtc")
