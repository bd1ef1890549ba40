"""What every test shares: hypothesis profiles, and a font cache made before notebooks run."""
import os

from hypothesis import settings

settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("thorough", deadline=None, max_examples=2000)
os.environ.setdefault("WORKBENCH_LAB", "static")  # notebooks show what is seen without a kernel
chosen = "ci" if os.environ.get("CI") else "default"
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", chosen))


def pytest_collection_modifyitems(items):
    """The first import of matplotlib on a machine builds a font cache and may say so on stderr,
    which a notebook's stored outputs do not have: build it here, when notebooks will run."""
    if any(item.path.suffix == ".ipynb" for item in items):
        import matplotlib.font_manager  # noqa: F401
