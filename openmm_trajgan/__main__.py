"""`python -m openmm_trajgan` is the command `trajgan`."""

from openmm_trajgan.cli import main

if __name__ == "__main__":
    main()
